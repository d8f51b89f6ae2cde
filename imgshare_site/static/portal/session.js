// How long the session lasts: what the page asks by itself is no sign of its person, who is warned in time. What was
// typed stays: after signing in elsewhere, under the same name, the page goes on.
"use strict";
{
  const box = document.getElementById("ending");
  const words = box.querySelector("p");
  const [stay, again] = [box.querySelector("button"), box.querySelector("a")];
  const whole = Number(box.dataset.seconds) * 1000;
  const notice = Math.min(60_000, whole / 3); // ms before the end
  const often = whole / 15; // at most one sign in so many ms, while somebody types
  let sign = Date.now();
  let timer = 0;

  function wait(left) {
    clearTimeout(timer);
    timer = setTimeout(look, Math.max(1000, left > notice ? left - notice : left) + 500);
  }

  async function ask(headers) {
    const answer = await fetch(box.dataset.address, { headers, cache: "no-store" }).catch(() => null);
    if (!answer) return wait(notice); // no answer is no end
    const said = answer.ok && !answer.redirected ? await answer.json() : null;
    if (said?.who === box.dataset.who) stays(said);
    else ended();
  }

  const look = () => ask({ "X-Background": "1" });

  function stays(said) {
    const left = said.seconds * 1000;
    for (const field of document.querySelectorAll("[name=csrfmiddlewaretoken]")) field.value = said.token;
    document.body.setAttribute("hx-headers", JSON.stringify({ "X-CSRFToken": said.token }));
    if (left > notice) box.close();
    else show(box.dataset.soon, stay, again);
    wait(left);
  }

  function ended() {
    if (!typed()) return location.replace(again.href);
    show(box.dataset.over, again, stay);
  }

  function show(text, shown, hidden) {
    words.textContent = text;
    [shown.hidden, hidden.hidden] = [false, true];
    box.show();
  }

  const typed = () => [...document.querySelectorAll("main textarea, main input:not([type=hidden], [type=search])")]
    .some((field) => field.value !== field.defaultValue || field.checked !== field.defaultChecked);

  function active() {
    if (Date.now() - sign < often) return;
    sign = Date.now();
    ask({});
  }

  for (const kind of ["keydown", "pointerdown", "input"]) document.addEventListener(kind, active);
  document.addEventListener("htmx:configRequest", (event) => {
    if (!event.detail.triggeringEvent) event.detail.headers["X-Background"] = "1";
  });
  window.addEventListener("focus", () => box.open && look());
  window.addEventListener("pageshow", (event) => event.persisted && location.reload());
  stay.addEventListener("click", () => ask({}));
  wait(whole);
}
