// The due list: one tick for all that nothing stands against and that no person decides about alone.
"use strict";
document.querySelector("[data-tick-all]")?.addEventListener("change", (event) => {
  for (const box of document.querySelectorAll("[data-tick]")) box.checked = event.currentTarget.checked;
});
