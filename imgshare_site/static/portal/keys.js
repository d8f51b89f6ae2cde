// Keys of the desk. An element says its own key (data-key); links and buttons are pressed, fields get the focus.
// Single keys rest in a field and while a form is open, and can be switched off (WCAG 2.1.4).
"use strict";
{
  const STORED = "single-keys";
  const FIELD = "textarea, select, input:not([type=hidden])";
  const RESTING = `${FIELD}, summary, [contenteditable]`;
  const CANDIDATE = "input[name=choice]"; // chosen by a key, and the next key goes on from there
  const FORM = "details.drawer[open], details.generate[open]";
  let prefix = "";
  let opening = null; // the details whose summary was pressed last

  const on = () => localStorage.getItem(STORED) !== "off";
  const resting = (target) => target.matches?.(RESTING) && !target.matches(CANDIDATE);
  const refusal = () => document.getElementById("refusal");

  function press(element) {
    if (element.disabled) return;
    if (element.matches("input[type=radio]") && /^[1-9]$/.test(element.dataset.key)) element.click();
    if (element.matches("a, button, summary")) return element.click();
    element.focus();
    element.select?.();
  }

  function move(step) {
    const rows = [...document.querySelectorAll("a.row")];
    const here = rows.indexOf(document.activeElement);
    rows.at(Math.min(Math.max(here + step, 0), rows.length - 1))?.focus();
  }

  function key(event) {
    if (event.key === "Escape") return leave(event);
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !on()) return;
    if (resting(event.target) || document.querySelector(`dialog[open], ${FORM}`)) return;
    const pressed = prefix + event.key;
    prefix = "";
    if (pressed === "g") prefix = "g ";
    else if (pressed === "j") move(1);
    else if (pressed === "k") move(-1);
    else {
      const found = document.querySelector(`[data-key="${CSS.escape(pressed)}"]`);
      if (!found) return;
      event.preventDefault();
      press(found);
    }
  }

  function leave(event) {
    const form = event.target.closest?.(FORM) ?? document.querySelector(FORM);
    if (form) {
      form.open = false;
      form.querySelector("summary").focus();
    } else if (resting(event.target)) event.target.blur();
  }

  document.addEventListener("keydown", key);
  document.addEventListener("click", (event) => {
    opening = event.target.closest("summary")?.parentElement ?? null;
    const opener = event.target.closest("[data-opens]");
    if (opener) document.getElementById(opener.dataset.opens).showModal();
  });
  document.addEventListener("toggle", (event) => {
    if (event.target === opening && opening.open) opening.querySelector(FIELD)?.focus();
  }, true);
  document.addEventListener("DOMContentLoaded", () => {
    const choice = document.getElementById("keys-on");
    if (!choice) return;
    choice.checked = on();
    choice.addEventListener("change", () => localStorage.setItem(STORED, choice.checked ? "on" : "off"));
  });

  // What went well before is not to be read beside what was refused now.
  function refused() {
    document.querySelector(".results")?.replaceChildren();
    refusal().scrollIntoView({ block: "nearest" });
  }

  // An answer that never came, or a crash: said where refusals are said.
  for (const failure of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
    document.addEventListener(failure, (event) => {
      if (event.detail.requestConfig?.verb === "get" || event.detail.elt?.id === "lease") return;
      refusal().textContent = refusal().dataset.noAnswer;
      refused();
    });
  }
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.elt.matches("form")) refusal().replaceChildren();
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    const asked = event.detail.requestConfig?.elt;
    if (event.detail.target.id !== "refusal") return;
    refused();
    document.dispatchEvent(new Event("refused")); // who has the study may be another by now
    if (asked?.matches("form, input")) refusal().focus();
  });
}
