// The index of the administration: what is typed leaves only the pages whose name or purpose has all of its words.
(() => {
  const field = document.getElementById("topic-filter");
  const count = document.getElementById("topic-count");
  field.closest(".topic-filter").hidden = false;

  const show = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const topic of document.querySelectorAll(".topic")) {
      const name = topic.querySelector("h2").textContent;
      let here = 0;
      for (const page of topic.querySelectorAll(".page")) {
        const text = `${name} ${page.textContent}`.toLowerCase();
        page.hidden = !words.every((word) => text.includes(word));
        here += page.hidden ? 0 : 1;
      }
      topic.hidden = here === 0;
      shown += here;
    }
    count.textContent = words.length ? `${shown} found` : "";
  };

  field.addEventListener("input", show);
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !field.value.trim()) return;
    const first = document.querySelector(".topic:not([hidden]) .page:not([hidden]) a");
    if (first) window.location.assign(first.href);
  });
  show();
})();
