// Slice viewer: window, heat map and slices of the report, drawn the way gastromap/reports/drawing.py draws them.
(() => {
  "use strict";

  const root = document.documentElement;

  const show = (section) => {
    const byId = (name) => document.getElementById(`${section.dataset.viewer}-${name}`);
    const data = JSON.parse(byId("data").textContent);
    const inputs = { slice: byId("slice"), heat: byId("heat"), level: byId("level"), width: byId("width") };
    const canvas = byId("canvas");
    const context = canvas.getContext("2d");
    const presets = [...section.querySelectorAll("[data-preset]")];
    const [wide, high] = data.size;
    const STRIP = 62;
    const AIR = -1024;

    const filled = (template, values) => template.replace(/\{(\w+)\}/g, (_, name) => values[name]);
    const texts = () => data.texts[root.lang] || data.texts.en;

    // Bytes of a PNG file; throws where the browser gives other values back than were stored.
    const decoded = async (url, rows, columns) => {
      const image = new Image();
      image.src = url;
      await image.decode();
      const hidden = document.createElement("canvas");
      hidden.width = columns;
      hidden.height = rows;
      const drawing = hidden.getContext("2d", { willReadFrequently: true });
      drawing.drawImage(image, 0, 0);
      return drawing.getImageData(0, 0, columns, rows).data;
    };

    // The part that was sent, in its place on the slice, turned for the screen.
    const turned = (part, outside) => {
      const [top, bottom, left, right] = data.box;
      const [rows, columns] = data.shape;
      const [transpose, flipRows, flipColumns] = data.turn;
      const height = transpose ? columns : rows;
      const width = transpose ? rows : columns;
      const values = new Float32Array(height * width).fill(outside);
      for (let row = top; row < bottom; row += 1) {
        for (let column = left; column < right; column += 1) {
          let y = transpose ? column : row;
          let x = transpose ? row : column;
          y = flipRows ? height - 1 - y : y;
          x = flipColumns ? width - 1 - x : x;
          values[y * width + x] = part[(row - top) * (right - left) + column - left];
        }
      }
      return { values, height, width };
    };

    // Weights of a triangle filter, as Pillow's bilinear resize has them.
    const weights = (from, to) => {
      const scale = from / to;
      const support = Math.max(scale, 1);
      return Array.from({ length: to }, (_, place) => {
        const centre = (place + 0.5) * scale;
        const first = Math.max(Math.trunc(centre - support + 0.5), 0);
        const last = Math.min(Math.trunc(centre + support + 0.5), from);
        const share = [];
        for (let k = first; k < last; k += 1) {
          share.push(Math.max(0, 1 - Math.abs((k - centre + 0.5) / support)));
        }
        const sum = share.reduce((a, b) => a + b, 0);
        return { first, share: share.map((part) => part / sum) };
      });
    };

    const resized = ({ values, height, width }) => {
      const across = weights(width, wide);
      const down = weights(height, high);
      const rows = new Float32Array(height * wide);
      for (let y = 0; y < height; y += 1) {
        for (let x = 0; x < wide; x += 1) {
          const { first, share } = across[x];
          let sum = 0;
          for (let k = 0; k < share.length; k += 1) {
            sum += values[y * width + first + k] * share[k];
          }
          rows[y * wide + x] = sum;
        }
      }
      const result = new Float32Array(high * wide);
      for (let y = 0; y < high; y += 1) {
        const { first, share } = down[y];
        for (let x = 0; x < wide; x += 1) {
          let sum = 0;
          for (let k = 0; k < share.length; k += 1) {
            sum += rows[(first + k) * wide + x] * share[k];
          }
          result[y * wide + x] = sum;
        }
      }
      return result;
    };

    const interpolated = (value, places, levels) => {
      if (value <= places[0]) {
        return levels[0];
      }
      for (let k = 1; k < places.length; k += 1) {
        if (value <= places[k]) {
          const part = (value - places[k - 1]) / (places[k] - places[k - 1]);
          return levels[k - 1] + part * (levels[k] - levels[k - 1]);
        }
      }
      return levels[levels.length - 1];
    };

    // Colour and weight of each of 256 values of the heat map.
    const table = Array.from({ length: 256 }, (_, step) => {
      const value = step / 255;
      const places = data.colours.map((_unused, k) => k / (data.colours.length - 1));
      const colour = [0, 1, 2].map((channel) => interpolated(value, places, data.colours.map((c) => c[channel])));
      return [...colour, interpolated(value, data.onset, [0, 1])];
    });

    const load = async () => {
      const [top, bottom, left, right] = data.box;
      const rows = bottom - top;
      const columns = right - left;
      const slices = [];
      for (const slice of data.slices) {
        const bytes = await decoded(slice.png, rows, columns);
        const hu = new Float32Array(rows * columns);
        let sum = 0;
        for (let k = 0; k < hu.length; k += 1) {
          const value = bytes[4 * k] * 256 + bytes[4 * k + 1];
          sum += value;
          hu[k] = value + AIR;
        }
        if (sum !== slice.sum) {
          throw new RangeError("pixels were changed by the browser");
        }
        slices.push(resized(turned(hu, AIR)));
      }
      const bytes = await decoded(data.heat, rows, columns);
      const heat = new Float32Array(rows * columns).map((_, k) => bytes[4 * k]);
      return { slices, heat: resized(turned(heat, 0)) };
    };

    const outlined = (text, x, y, align, baseline, font) => {
      context.font = font;
      context.textAlign = align;
      context.textBaseline = baseline;
      context.lineWidth = 4;
      context.lineJoin = "round";
      context.strokeStyle = "#000";
      context.fillStyle = "#fff";
      context.strokeText(text, x, y);
      context.fillText(text, x, y);
    };

    const annotate = (left) => {
      const large = "600 26px system-ui, sans-serif";
      const { letters, bar } = data;
      outlined(letters.left, left + 10, high / 2, "left", "middle", large);
      outlined(letters.right, left + wide - 10, high / 2, "right", "middle", large);
      outlined(letters.top, left + wide / 2, 8, "center", "top", large);
      outlined(letters.bottom, left + wide / 2, high - 8, "center", "bottom", large);
      const [x, y] = [left + 16, high - 18];
      for (const [colour, thickness] of [["#000", 7], ["#fff", 3]]) {
        context.strokeStyle = colour;
        context.lineWidth = thickness;
        context.beginPath();
        context.moveTo(x, y);
        context.lineTo(x + bar.pixels, y);
        for (const end of [x, x + bar.pixels]) {
          context.moveTo(end, y - 6);
          context.lineTo(end, y + 6);
        }
        context.stroke();
      }
      outlined(`${bar.mm} mm`, x + bar.pixels / 2, y - 9, "center", "bottom", "20px system-ui, sans-serif");
    };

    const fitted = (text, y, size, colour) => {
      const room = canvas.width - 24;
      context.font = `${size}px system-ui, sans-serif`;
      const used = context.measureText(text).width;
      context.font = `${used > room ? (size * room) / used : size}px system-ui, sans-serif`;
      context.textAlign = "left";
      context.textBaseline = "middle";
      context.fillStyle = colour;
      context.fillText(text, 12, y);
    };

    const described = (slice, heated) => {
      const said = texts();
      const words = [filled(said.slice, slice)];
      if (slice.offset === 0) {
        words.push(said.key);
      } else {
        words.push(filled(slice.offset > 0 ? said.above : said.below, { mm: slice.distance }));
      }
      const window = filled(said.window, { level: inputs.level.value, width: inputs.width.value });
      words.push(window, heated ? filled(said.heat, { share: inputs.heat.value }) : said.elsewhere);
      return words.join(" · ");
    };

    const draw = (pixels) => {
      const number = Number(inputs.slice.value);
      const slice = data.slices[number];
      const heated = slice.offset === 0;
      const opacity = Number(inputs.heat.value) / 100;
      const width = Number(inputs.width.value);
      const low = Number(inputs.level.value) - width / 2;
      const hu = pixels.slices[number];
      const picture = context.createImageData(wide, high);
      for (let k = 0; k < hu.length; k += 1) {
        const grey = Math.min(Math.max((hu[k] - low) / width, 0), 1) * 255;
        const [red, green, blue, weight] = table[heated ? Math.round(pixels.heat[k]) : 0];
        const alpha = weight * opacity;
        picture.data[4 * k] = grey * (1 - alpha) + red * alpha;
        picture.data[4 * k + 1] = grey * (1 - alpha) + green * alpha;
        picture.data[4 * k + 2] = grey * (1 - alpha) + blue * alpha;
        picture.data[4 * k + 3] = 255;
      }
      const left = Math.round((canvas.width - wide) / 2);
      context.fillStyle = "#000";
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.putImageData(picture, left, 0);
      annotate(left);
      const words = described(slice, heated);
      fitted(texts().notice, high + 20, 21, "#ffcd6e");
      fitted(words, high + 46, 18, "#fff");
      byId("status").textContent = words;
      canvas.setAttribute("aria-label", words);
      inputs.slice.setAttribute("aria-valuetext", words.split(" · ").slice(0, 2).join(", "));
      inputs.heat.disabled = !heated;
      for (const [name, unit] of [["heat", " %"], ["level", " HU"], ["width", " HU"]]) {
        byId(`${name}-value`).textContent = inputs[name].value + unit;
      }
      byId("slice-value").textContent = slice.number;
      for (const button of presets) {
        const same = button.dataset.level === inputs.level.value && button.dataset.width === inputs.width.value;
        button.setAttribute("aria-pressed", String(same));
      }
    };

    const start = (pixels) => {
      canvas.width = Math.max(wide, 600);
      canvas.height = high + STRIP;
      const redraw = () => draw(pixels);
      for (const input of Object.values(inputs)) {
        input.addEventListener("input", redraw);
      }
      for (const button of presets) {
        button.addEventListener("click", () => {
          inputs.level.value = button.dataset.level;
          inputs.width.value = button.dataset.width;
          redraw();
        });
      }
      document.addEventListener("gastromap:language", redraw);
      canvas.addEventListener("pointermove", (event) => {
        const box = canvas.getBoundingClientRect();
        const scale = canvas.width / box.width;
        const x = Math.floor((event.clientX - box.left) * scale - (canvas.width - wide) / 2);
        const y = Math.floor((event.clientY - box.top) * scale);
        const inside = x >= 0 && y >= 0 && x < wide && y < high;
        const hu = inside ? Math.round(pixels.slices[Number(inputs.slice.value)][y * wide + x]) : 0;
        byId("hu").textContent = inside ? `${String(hu).replace("-", "−")} HU` : "–";
        // As on a workstation: across for the width, down for the level.
        if (event.buttons === 1 && event.pointerType === "mouse") {
          inputs.width.value = Number(inputs.width.value) + 2 * event.movementX;
          inputs.level.value = Number(inputs.level.value) + event.movementY;
          redraw();
        }
      });
      canvas.addEventListener("pointerleave", () => {
        byId("hu").textContent = "–";
      });
      section.classList.add("viewer-ready");
      redraw();
    };

    // Without exact pixels the static pictures stay.
    load().then(start, () => section.classList.add("viewer-failed"));
  };

  for (const section of document.querySelectorAll("[data-viewer]")) {
    show(section);
  }
})();
