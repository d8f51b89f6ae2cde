// The study page: what is missing before it can be mapped, where the focus goes, and the lease given back.
"use strict";
{
  const study = document.getElementById("study");
  const chosen = (name) => document.querySelector(`input[name=${name}]:checked`);

  function sayWhatIsMissing() {
    const line = document.querySelector("#map-form .missing");
    if (!line) return;
    const missing = !chosen("choice") ? line.dataset.nothing : !chosen("intent") ? line.dataset.purpose : "";
    const against = document.querySelector("#changes .objections:not(.doubt)");
    line.textContent = [missing, against ? line.dataset.override : ""].join(" ").trim();
  }

  // After a step the result is read first; after a search the number found; a list of changes takes no focus.
  function settle(event) {
    const target = event.detail.target;
    if (target.id === "study") (study.querySelector(".result") ?? document.getElementById("title")).focus();
    if (target.id === "candidates") document.getElementById("found")?.focus();
    sayWhatIsMissing();
  }

  function giveBack() {
    const mine = document.querySelector("[data-mine]");
    if (!mine) return;
    const said = new FormData();
    said.append("csrfmiddlewaretoken", document.querySelector("[name=csrfmiddlewaretoken]").value);
    said.append("leave", "1");
    navigator.sendBeacon(mine.dataset.mine, said);
  }

  function enlarge(event) {
    const link = event.target.closest("[data-enlarge]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const dialog = document.createElement("dialog");
    dialog.className = "enlarged";
    dialog.ariaLabel = link.querySelector("img").alt;
    const picture = Object.assign(document.createElement("img"), { src: link.href, alt: dialog.ariaLabel });
    const close = Object.assign(document.createElement("button"), { textContent: "×", ariaLabel: "Close" });
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => (dialog.remove(), link.focus()));
    dialog.append(close, document.querySelector(".caution").cloneNode(true), picture);
    document.body.append(dialog);
    dialog.showModal();
  }

  study.addEventListener("change", sayWhatIsMissing);
  study.addEventListener("click", enlarge);
  document.addEventListener("htmx:afterSettle", settle);
  window.addEventListener("pagehide", giveBack);
  window.addEventListener("pageshow", (event) => event.persisted && location.reload());
  sayWhatIsMissing();
}
