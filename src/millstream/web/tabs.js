// Tabs as the ARIA practices have them: arrows move, Home and End jump.
// https://www.w3.org/WAI/ARIA/apg/patterns/tabs/

export function tabs(list, chosen) {
  const all = [...list.querySelectorAll('[role="tab"]')];
  const choose = (tab, focus = true) => {
    for (const one of all) {
      const is = one === tab;
      one.setAttribute("aria-selected", String(is));
      one.tabIndex = is ? 0 : -1;
    }
    if (focus) tab.focus();
    chosen(tab);
  };
  list.addEventListener("click", ({ target }) => {
    const tab = target.closest('[role="tab"]');
    if (tab) choose(tab);
  });
  list.addEventListener("keydown", (event) => {
    const at = all.indexOf(document.activeElement);
    const goals = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 };
    if (at < 0 || goals[event.key] === undefined) return;
    event.preventDefault();
    choose(all[(goals[event.key] + all.length) % all.length]);
  });
  return choose;
}
