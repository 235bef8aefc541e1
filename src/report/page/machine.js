// The page of one machine.

function machineRows({ sentences, rows }) {
  return rows.map(([path, word, bytes, fails, words, said, states]) => {
    const [change, type, verdict, cls, owner] = words.map((number) => sentences[number]);
    return { path, word: word ?? path, bytes, fails, change, type, verdict, cls, owner, said, states };
  });
}

function changesTable(page, rows) {
  const { sentences } = page.table;
  const details = (row) => {
    const said = row.said.map((number) => {
      // Its own path and size stand as one character each, so that many rows share a sentence.
      const sentence = sentences[number].replaceAll('\u0001', () => row.word)
        .replaceAll('\u0002', () => formatSize(row.bytes));
      const end = sentence.indexOf(': ');
      return [sentence.slice(0, end), sentence.slice(end + 2)];
    });
    const former = page.roots.filter((root) => root.name !== null);
    const told = former.slice(former.length - row.states.length);
    // What is in a directory has rows of its own.
    const itself = row.type === 'dir' ? 'itself ' : '';
    told.forEach((root, at) => said.push([root.name, itself + sentences[row.states[at]]]));
    return element('dl', { class: 'said' }, ...said.flatMap(([label, text]) => [
      element('dt', {}, label), element('dd', {}, text)]));
  };
  const left = page.table.left_out;
  const what = page.blank === null ? 'What the root has.' : 'What live has and blank has not, or the other way round.';
  const caption = `${what} Press a path to see why.`
    + (left > 0 ? ` ${formatNoun(left, 'more change is', 'more changes are')} not in this page.` : '');
  return new DataTable({
    name: 'change',
    caption,
    rows,
    details,
    text: (row) => `${row.path} ${row.owner} ${row.change} ${row.type} ${row.verdict} ${row.cls}`,
    columns: [
      { title: 'Path', key: (row) => row.path, cell: (row) => row.path, wide: true },
      { title: 'Change', key: (row) => row.change, cell: (row) => row.change },
      { title: 'Type', key: (row) => row.type, cell: (row) => row.type },
      { title: 'Size', key: (row) => row.bytes, cell: (row) => formatSize(row.bytes), numeric: true },
      { title: 'Verdict', key: (row) => row.verdict, cell: (row) => row.verdict },
      { title: 'Class', key: (row) => row.cls, cell: (row) => row.cls },
      { title: 'Owner', key: (row) => row.owner, cell: (row) => row.owner, wide: true },
    ],
    filters: [
      { title: 'Audit', of: (row) => (row.fails ? 'fails' : 'told only') },
      { title: 'Verdict', of: (row) => row.verdict },
      { title: 'Class', of: (row) => row.cls },
      { title: 'Owner', of: (row) => row.owner },
    ],
    sorted: { column: 0, ascending: true },
  });
}

function bootsChart(roots) {
  const [width, height, bottom] = [Math.max(600, roots.length * 14), 160, 18];
  const most = Math.max(1, ...roots.map((root) => root.strays));
  const step = width / roots.length;
  const scale = (count) => (count / most) * (height - bottom - 14);
  const bars = roots.flatMap((root, at) => {
    const [x, bar] = [at * step + step * 0.1, Math.min(step * 0.8, 60)];
    const fresh = root.new ?? 0;
    const label = `${root.name ?? 'live'}: ${formatNoun(root.strays, 'stray', 'strays')}`
      + (root.new === null ? '' : `, ${formatCount(fresh)} new`);
    const made = [
      drawing('rect', { class: 'old', x, y: height - bottom - scale(root.strays), width: bar, height: scale(root.strays) }, drawing('title', {}, label)),
      drawing('rect', { class: 'new', x, y: height - bottom - scale(fresh), width: bar, height: scale(fresh) }, drawing('title', {}, label)),
    ];
    if (step > 40) {
      const short = root.name === null ? 'live' : root.name.split('-')[0];
      made.push(drawing('text', { x, y: height - 4 }, short),
        drawing('text', { x, y: height - bottom - scale(root.strays) - 3 }, formatCount(root.strays)));
    }
    return made;
  });
  const label = `Strays of ${formatNoun(roots.length, 'root', 'roots')}, the oldest first; the table has the numbers`;
  return drawing('svg', { class: 'boots', role: 'img', 'aria-label': label, viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: 'xMinYMid meet' }, ...bars);
}

function bootsTable(roots) {
  const head = ['Root', 'Began', 'Set aside', 'Boots', 'Strays', 'New', 'Size', 'Of note'];
  const numeric = new Set(['Boots', 'Strays', 'New', 'Size']);
  const style = (title) => (numeric.has(title) ? 'number' : null);
  const lines = [...roots].reverse().map((root) => {
    const count = (number) => (number === null ? '–' : formatCount(number));
    const cells = [root.name ?? 'live', formatTime(root.began), root.name === null ? 'now' : formatTime(root.ended),
      count(root.boots), count(root.strays), count(root.new), formatSize(root.bytes), root.notable.join(', ')];
    return element('tr', {}, ...cells.map((cell, at) => element('td', { class: style(head[at]) }, cell)));
  });
  return element('table', {}, element('caption', {}, 'Each root that there was, the youngest first'),
    element('thead', {}, element('tr', {}, ...head.map((title) => element('th', { scope: 'col', class: style(title) }, title)))),
    element('tbody', {}, ...lines));
}

function machinePage(page) {
  const rows = machineRows(page.table);
  const table = changesTable(page, rows);
  const toTable = () => document.getElementById('changes').scrollIntoView();
  const treemap = new Treemap(rows.filter((row) => row.verdict === 'stray'), (node, way) => {
    table.clear();
    if (treemap.by.value === 'owner' && way.length > 1) {
      table.choose('Owner', way[1].name);
    }
    table.choose('Verdict', 'stray');
    table.showBelow(node.path);
    table.search.focus();
    toTable();
  });
  if (page.audit.fails.count > 0) {
    table.choose('Audit', 'fails');
  } else if (rows.some((row) => row.verdict === 'stray')) {
    table.choose('Verdict', 'stray');
  }
  const of = (verdict) => page.verdicts[verdict];
  const card = (name, tally) => [name, formatCount(tally.count), formatSize(tally.bytes)];
  const summary = cards([card('fail the audit', page.audit.fails), card('only told', page.audit.told),
    card('kept', of('kept')), card('forgotten', of('forgotten')), card('regenerated', of('regenerated'))]);
  const verdict = page.audit.result === 'clean' ? 'calm' : 'alarm';
  const news = page.news.groups.length > 0 ? groupList(page.news)
    : element('p', {}, 'Nothing that fails the audit.');
  const blank = page.blank === null ? 'The root starts empty' : `Blank is ${page.blank}`;
  return {
    title: page.host ?? 'A root',
    header: [
      element('p', { class: `headline ${verdict}` }, page.headline), element('p', {}, page.told),
      element('p', { class: 'quiet' }, `${blank}. Written ${formatTime(page.made)} by Blankroot ${page.program}.`), summary],
    sections: [
      section('news', 'What is new', news),
      section('boots', 'Boots', bootsChart(page.roots),
        element('p', { class: 'quiet' }, element('span', { class: 'key old' }), 'strays', element('span', { class: 'key new' }), 'of these new: no root before had them'),
        element('div', { class: 'scroll' }, bootsTable(page.roots))),
      element('div', { class: 'by-size' }, section('sizes', 'Strays by size', ...(page.table.left_out > 0
        ? [element('p', { class: 'quiet' }, 'Of the changes in this page.')] : []), treemap.node)),
      section('changes', 'Changes', table.node)],
    tables: [table],
  };
}
