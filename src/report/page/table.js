// A table that is filtered, sorted, and opened row by row.

const ROWS_AT_ONCE = 200;

class DataTable {
  // columns: { title, key: row => what it is sorted by, cell: row => what is shown, numeric, wide }
  // filters: { title, of: row => word }; text: row => what is searched; details: row => element
  constructor({ name, caption, columns, filters, rows, text, details, sorted }) {
    Object.assign(this, { name, columns, filters, rows, details });
    this.texts = new Map(rows.map((row) => [row, text(row).toLowerCase()]));
    this.sort = { column: columns[sorted.column], ascending: sorted.ascending };
    this.limit = ROWS_AT_ONCE;
    this.open = new Set();
    this.search = element('input', { type: 'search', oninput: () => this.show(true) });
    this.choices = filters.map((filter) => this.choice(filter));
    this.status = element('p', { role: 'status', class: 'quiet' });
    this.heads = columns.map((column) => this.head(column));
    this.body = element('tbody');
    this.more = element('button', { type: 'button', class: 'more', onclick: () => this.showMore() });
    this.below = '';
    this.place = element('button', { type: 'button', hidden: true, onclick: () => this.showBelow('') });
    const clear = element('button', { type: 'button', onclick: () => this.clear() }, 'Show all');
    const labels = this.choices.map((select, at) => element('label', {}, filters[at].title, select));
    const label = element('label', {}, 'Search (press /)', this.search);
    const controls = element('div', { class: 'controls', role: 'search' }, label, ...labels, this.place, clear);
    const table = element('table', {}, element('caption', {}, caption),
      element('thead', {}, element('tr', {}, ...this.heads)), this.body);
    this.node = element('div', {}, controls, this.status, element('div', { class: 'scroll' }, table), this.more);
    this.show(true);
  }

  choice(filter) {
    const words = [...new Set(this.rows.map(filter.of))].sort();
    const options = words.map((word) => element('option', { value: word }, word === '' ? 'none' : word));
    const all = element('option', { value: '*' }, 'all');
    return element('select', { onchange: () => this.show(true) }, all, ...options);
  }

  head(column) {
    const button = element('button', { type: 'button', onclick: () => this.sortBy(column) }, column.title);
    return element('th', { scope: 'col', class: column.numeric ? 'number' : null }, button);
  }

  sortBy(column) {
    const again = this.sort.column === column;
    // Numbers are of interest from the largest on.
    this.sort = { column, ascending: again ? !this.sort.ascending : !column.numeric };
    this.show(true);
  }

  choose(title, word) {
    const at = this.filters.findIndex((filter) => filter.title === title);
    this.choices[at].value = word;
    this.show(true);
  }

  // Only what is at or below a path; '' for all.
  showBelow(path) {
    this.below = path === '/' ? '' : path;
    this.place.hidden = this.below === '';
    this.place.textContent = `Only at and below ${this.below} ✕`;
    this.show(true);
  }

  clear() {
    this.search.value = '';
    this.below = '';
    this.place.hidden = true;
    this.choices.forEach((select) => { select.value = '*'; });
    this.show(true);
  }

  found() {
    const asked = this.search.value.trim().toLowerCase();
    const chosen = this.choices.map((select, at) => [this.filters[at].of, select.value]).filter(([, word]) => word !== '*');
    const isBelow = (path) => this.below === '' || path === this.below || path.startsWith(`${this.below}/`);
    const found = this.rows.filter((row) => isBelow(row.path) && chosen.every(([of, word]) => of(row) === word) && this.texts.get(row).includes(asked));
    const { column, ascending } = this.sort;
    const sign = ascending ? 1 : -1;
    const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
    return found.sort((a, b) => sign * compare(column.key(a), column.key(b)));
  }

  show(fromStart) {
    if (fromStart) {
      this.limit = ROWS_AT_ONCE;
    }
    const found = this.found();
    const shown = found.slice(0, this.limit);
    this.body.replaceChildren(...shown.flatMap((row) => this.rowElements(row)));
    this.heads.forEach((head, at) => {
      const { column, ascending } = this.sort;
      head.setAttribute('aria-sort', this.columns[at] !== column ? 'none' : ascending ? 'ascending' : 'descending');
    });
    const rest = found.length - shown.length;
    this.status.textContent = `${formatNoun(found.length, 'row', 'rows')} of ${formatCount(this.rows.length)}`
      + (rest > 0 ? `, ${formatCount(shown.length)} shown` : '');
    this.more.hidden = rest === 0;
    this.more.textContent = `Show ${formatCount(Math.min(rest, ROWS_AT_ONCE))} more`;
  }

  showMore() {
    const before = this.body.querySelectorAll('button.row').length;
    this.limit += ROWS_AT_ONCE;
    this.show(false);
    this.body.querySelectorAll('button.row')[before]?.focus();
  }

  // On paper nobody can press a button for more.
  showForPaper(isPaper) {
    if (isPaper) {
      this.limitOnScreen = this.limit;
    }
    this.limit = isPaper ? Infinity : this.limitOnScreen;
    this.show(false);
  }

  rowElements(row) {
    const id = `${this.name}-${this.rows.indexOf(row)}`;
    const isOpen = this.open.has(row);
    const cells = this.columns.map((column, at) => {
      const shown = column.cell(row);
      const content = at > 0 ? shown
        : element('button', { type: 'button', class: 'row', 'aria-expanded': String(isOpen), 'aria-controls': isOpen ? id : null,
          onclick: (event) => this.toggle(row, event.currentTarget, id) }, shown);
      return element('td', { class: column.numeric ? 'number' : column.wide ? 'wide' : 'nowrap' }, content);
    });
    const line = element('tr', {}, ...cells);
    return isOpen ? [line, this.detailsElement(row, id)] : [line];
  }

  detailsElement(row, id) {
    return element('tr', { class: 'details', id }, element('td', { colspan: this.columns.length }, this.details(row)));
  }

  toggle(row, button, id) {
    const line = button.closest('tr');
    const isOpen = !this.open.delete(row);
    if (isOpen) {
      this.open.add(row);
      line.after(this.detailsElement(row, id));
      button.setAttribute('aria-controls', id);
    } else {
      line.nextElementSibling.remove();
      button.removeAttribute('aria-controls');
    }
    button.setAttribute('aria-expanded', String(isOpen));
  }
}
