// Shows the data of this file.

{
  const page = JSON.parse(document.getElementById('data').textContent);
  const { title, header, sections, tables } = page.kind === 'fleet' ? fleetPage(page) : machinePage(page);
  document.title = `${title} – Blankroot`;
  const last = sections[sections.length - 1];
  document.body.append(
    element('a', { class: 'skip', href: `#${last.id}` }, 'To the table'),
    element('header', {}, element('h1', {}, title), ...header),
    element('main', {}, ...sections),
    element('footer', { class: 'quiet' }, element('p', {}, 'This file needs no network and sends nothing.')));
  document.addEventListener('keydown', (event) => {
    const isTyped = event.target instanceof Element && event.target.closest('input, select');
    if (event.key === '/' && !event.ctrlKey && !event.altKey && !event.metaKey && !isTyped) {
      event.preventDefault();
      tables[0].search.focus();
    }
  });
  for (const [moment, isPaper] of [['beforeprint', true], ['afterprint', false]]) {
    window.addEventListener(moment, () => tables.forEach((table) => table.showForPaper(isPaper)));
  }
}
