// A rule that is tried on a study: Enter in the field of the study tries it and saves nothing; then the answer has the focus.
(() => {
  const field = document.getElementById("id_tryout-study");
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    field.form.querySelector("[type=submit][name=_tryout]").click();
  });
  if (window.location.hash === "#tryout") window.addEventListener("load", () => document.getElementById("tryout").focus());
})();
