// The page of many machines.

// Counts of -1 where there is none, so that these come last.
function lastAudit(machine) {
  const [, fails, told] = machine.audits[machine.audits.length - 1] ?? [null, -1, -1];
  return { fails, told };
}

function shownCount(count) {
  return count === -1 ? '–' : formatCount(count);
}

function resultOf(machine) {
  if (machine.audits.length === 0) {
    return 'no audit';
  }
  return lastAudit(machine).fails === 0 ? 'clean' : 'found';
}

// A bar for each audit, the oldest first.
function auditsChart(audits) {
  const [height, step] = [40, 10];
  const most = Math.max(1, ...audits.map(([, fails]) => fails));
  const bars = audits.map(([time, fails], at) => {
    const bar = Math.max(1, (fails / most) * height);
    const title = drawing('title', {}, `${formatTime(time)}: ${formatCount(fails)} fail`);
    return drawing('rect', { class: 'new', x: at * step, width: step * 0.8, y: height - bar, height: bar }, title);
  });
  const said = `Strays that failed the last ${formatNoun(audits.length, 'audit', 'audits')}`;
  const label = `${said}: ${audits.map(([, fails]) => fails).join(', ')}`;
  const width = audits.length * step;
  return element('figure', {}, element('figcaption', { class: 'quiet' }, `${said}, the oldest first`),
    drawing('svg', { role: 'img', 'aria-label': label, viewBox: `0 0 ${width} ${height}`, width, height }, ...bars));
}

function machineDetails(machine) {
  const parts = [element('p', {}, machine.headline ?? 'Nobody has audited it.')];
  if (machine.audits.length > 0) {
    parts.push(element('p', { class: 'quiet' }, machine.told), groupList(machine.news));
    if (machine.audits.length > 1) {
      parts.push(auditsChart(machine.audits));
    }
  }
  if (machine.lost.length > 0) {
    const lines = [...machine.lost].reverse().map(([root, ended, strays, bytes]) => element('li', {},
      `${root}, set aside ${formatTime(ended)}: ${formatNoun(strays, 'stray', 'strays')}, ${formatSize(bytes)}`));
    parts.push(element('h3', {}, 'What former roots lost'), element('ul', {}, ...lines));
  }
  return element('div', {}, ...parts);
}

function fleetPage(page) {
  const count = (result) => page.machines.filter((machine) => resultOf(machine) === result).length;
  const lastLost = (machine) => machine.lost[machine.lost.length - 1]?.[2] ?? -1;
  const table = new DataTable({
    name: 'machine',
    caption: 'Each machine by its last audit. Press a name to see what was found.',
    rows: page.machines,
    details: machineDetails,
    text: (machine) => [machine.host, machine.file, resultOf(machine),
      ...(machine.news?.groups ?? []).flatMap((group) => [group.title, ...group.topmost.map(([path]) => path)])].join(' '),
    columns: [
      { title: 'Machine', key: (m) => m.host, cell: (m) => m.host, wide: true },
      { title: 'Result', key: resultOf, cell: resultOf },
      { title: 'Fail', key: (m) => lastAudit(m).fails, cell: (m) => shownCount(lastAudit(m).fails), numeric: true },
      { title: 'Told', key: (m) => lastAudit(m).told, cell: (m) => shownCount(lastAudit(m).told), numeric: true },
      { title: 'Last audit', key: (m) => m.time ?? '', cell: (m) => (m.time ? formatTime(m.time) : 'never') },
      { title: 'Lost last', key: lastLost, cell: (m) => shownCount(lastLost(m)), numeric: true },
      { title: 'Records', key: (m) => m.file, cell: (m) => m.file, wide: true },
    ],
    filters: [{ title: 'Result', of: resultOf }],
    sorted: { column: 2, ascending: false },
  });
  const found = count('found');
  const headline = found === 0 ? `No stray fails an audit on ${formatNoun(page.machines.length, 'machine', 'machines')}.`
    : `Strays fail the audit of ${formatCount(found)} of ${formatNoun(page.machines.length, 'machine', 'machines')}.`;
  const problems = page.problems.length === 0 ? [] : [section('problems', 'What could not be read',
    element('ul', {}, ...page.problems.map((problem) => element('li', { class: 'path' }, problem))))];
  return {
    title: 'Machines',
    header: [
      element('p', { class: `headline ${found === 0 ? 'calm' : 'alarm'}` }, headline),
      element('p', { class: 'quiet' }, `Written ${formatTime(page.made)} by Blankroot ${page.program}.`),
      cards([['found', formatCount(found)], ['clean', formatCount(count('clean'))], ['no audit', formatCount(count('no audit'))]])],
    sections: [...problems, section('machines', 'By machine', table.node)],
    tables: [table],
  };
}
