// Elements of a page, and numbers for people. Text is only ever set as text.

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith('on')) {
      made.addEventListener(name.slice(2), value);
    } else if (value !== null && value !== false) {
      made.setAttribute(name, value === true ? '' : value);
    }
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

function drawing(tag, properties = {}, ...children) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(properties)) {
    made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function section(id, title, ...children) {
  const heading = element('h2', { id: `${id}-title` }, title);
  return element('section', { id, 'aria-labelledby': heading.id }, heading, ...children);
}

function formatCount(number) {
  return number.toLocaleString('en');
}

function formatNoun(number, one, many) {
  return `${formatCount(number)} ${number === 1 ? one : many}`;
}

function formatSize(bytes) {
  let [size, unit] = [bytes, 0];
  while (size >= 1024 && unit < 6) {
    size /= 1024;
    unit += 1;
  }
  if (unit === 0) {
    return `${bytes} B`;
  }
  // A tie goes to the even digit, as in the terminal.
  const tenths = size * 10;
  const rounded = tenths % 1 === 0.5 ? 2 * Math.round(tenths / 2) : Math.round(tenths);
  return `${(rounded / 10).toFixed(1)} ${' KMGTPE'[unit]}iB`;
}

function formatTime(time) {
  return time === null ? 'not known' : `${time.slice(0, 10)} ${time.slice(11, 16)} UTC`;
}

function describeClasses(classes) {
  const words = Object.entries(classes).filter(([, count]) => count > 0);
  return words.map(([word, count]) => `${formatCount(count)} ${word}`).join(', ');
}

// Strays by owner; `actions` makes what stands beside a title.
function groupList(found, actions = () => []) {
  const list = element('ul', { class: 'plain' });
  for (const group of found.groups) {
    const facts = [formatNoun(group.paths, 'path', 'paths'), formatSize(group.bytes), describeClasses(group.classes)];
    const tops = element('ul', { class: 'plain' });
    for (const [path, paths] of group.topmost) {
      const more = paths > 1 ? ` and ${formatCount(paths - 1)} below` : '';
      tops.append(element('li', {}, element('span', { class: 'path' }, path), more));
    }
    if (group.topmost_left_out > 0) {
      tops.append(element('li', { class: 'quiet' }, `and ${formatCount(group.topmost_left_out)} more`));
    }
    const title = element('h3', {}, group.title, ' ', element('span', { class: 'quiet' }, facts.filter(Boolean).join(', ')));
    list.append(element('li', {}, title, ...actions(group), tops));
  }
  if (found.groups_left_out > 0) {
    list.append(element('li', { class: 'quiet' }, `and ${formatNoun(found.groups_left_out, 'more owner', 'more owners')}`));
  }
  return list;
}

function cards(pairs) {
  const made = pairs.map(([name, value, more]) => {
    const beside = more ? element('small', {}, ` ${more}`) : null;
    return element('div', {}, element('dt', {}, name), element('dd', {}, value, beside));
  });
  return element('dl', { class: 'cards' }, ...made);
}
