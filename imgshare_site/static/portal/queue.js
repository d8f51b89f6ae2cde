// The queue: a filter applies as soon as it is chosen.
"use strict";
document.querySelector(".narrowing")?.addEventListener("change", (event) => event.currentTarget.requestSubmit());
