// A security key that was not touched, or is not known here: said on the page, and one may try again.
"use strict";
document.addEventListener("allauth.error", (event) => {
  event.preventDefault();
  for (const said of document.querySelectorAll("[data-key-failed]")) said.hidden = false;
});
