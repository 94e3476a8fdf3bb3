// Language of the report: both are in the page, one is shown. Nothing is stored.
(() => {
  "use strict";

  const root = document.documentElement;
  const buttons = [...document.querySelectorAll("button[data-language]")];

  const choose = (language) => {
    root.lang = language;
    for (const [attribute, key] of [["alt", "alt"], ["aria-label", "label"], ["", "text"]]) {
      for (const element of document.querySelectorAll(`[data-${key}-${language}]`)) {
        const words = element.getAttribute(`data-${key}-${language}`);
        if (attribute) {
          element.setAttribute(attribute, words);
        } else {
          element.textContent = words;
        }
      }
    }
    for (const button of buttons) {
      button.setAttribute("aria-pressed", String(button.dataset.language === language));
    }
    document.dispatchEvent(new CustomEvent("gastromap:language"));
  };

  for (const button of buttons) {
    button.addEventListener("click", () => choose(button.dataset.language));
  }
  root.classList.add("script");
  choose(root.lang);
})();
