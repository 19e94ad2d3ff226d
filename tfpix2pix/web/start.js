// Modules don't load from files, so what is said there must not be one.
document.querySelector(location.protocol === "file:" ? "#file" : "main").hidden = false;
