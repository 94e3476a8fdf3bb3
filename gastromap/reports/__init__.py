"""Reports of a result for people and programs: JSON, pictures, HTML, PDF."""
