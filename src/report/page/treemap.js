// A treemap: each tile is a button as large as what it stands for.

const TILES = 60;
// Of all tiles: what is smaller nobody could hit.
const SMALLEST = 0.002;

class TreeNode {
  constructor(name, path) {
    Object.assign(this, { name, path, bytes: 0, count: 0, children: new Map() });
  }

  child(name, path) {
    if (!this.children.has(name)) {
      this.children.set(name, new TreeNode(name, path));
    }
    return this.children.get(name);
  }
}

// rows: { path, bytes, owner }. With `byOwner` the owners come first, each with its own directories.
function buildTree(rows, byOwner) {
  const root = new TreeNode(byOwner ? 'all owners' : '/', byOwner ? '' : '/');
  for (const { path, bytes, owner } of rows) {
    const way = path.split('/').slice(1);
    const nodes = [root];
    if (byOwner) {
      nodes.push(root.child(owner, ''));
    }
    way.forEach((name, depth) => {
      nodes.push(nodes[nodes.length - 1].child(name, `/${way.slice(0, depth + 1).join('/')}`));
    });
    nodes.forEach((node) => {
      node.bytes += bytes;
      node.count += 1;
    });
  }
  return root;
}

// Rectangles for weights that are sorted, the largest first, each as square as can be: { x, y, width, height } in
// parts of the whole. After Bruls, Huizing and van Wijk, Squarified Treemaps (2000).
function squarify(weights, aspect) {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const areas = weights.map((weight) => (weight / total) * aspect);
  const made = [];
  let [x, y, width, height, at] = [0, 0, aspect, 1, 0];
  while (at < areas.length) {
    const side = Math.min(width, height);
    const worst = (row, sum) => Math.max(...row.map((area) => Math.max((side * side * area) / (sum * sum), (sum * sum) / (side * side * area))));
    const row = [areas[at]];
    let sum = areas[at];
    for (let next = at + 1; next < areas.length; next += 1) {
      if (worst([...row, areas[next]], sum + areas[next]) > worst(row, sum)) {
        break;
      }
      row.push(areas[next]);
      sum += areas[next];
    }
    const thickness = sum / side;
    let along = 0;
    for (const area of row) {
      const length = area / thickness;
      made.push(width >= height
        ? { x: x / aspect, y: y + along, width: thickness / aspect, height: length }
        : { x: (x + along) / aspect, y, width: length / aspect, height: thickness });
      along += length;
    }
    [x, y, width, height] = width >= height
      ? [x + thickness, y, width - thickness, height] : [x, y + thickness, width, height - thickness];
    at += row.length;
  }
  return made;
}

function hueOf(name) {
  let hue = 0;
  for (const letter of name) {
    hue = (hue * 31 + letter.codePointAt(0)) % 360;
  }
  return hue;
}

class Treemap {
  // `choose` is told of a node that somebody wants to see in the table.
  constructor(rows, choose) {
    Object.assign(this, { rows, choose });
    this.by = element('select', { onchange: () => this.start() },
      element('option', { value: 'directory' }, 'directory'), element('option', { value: 'owner' }, 'owner'));
    this.crumbs = element('nav', { class: 'controls crumbs', 'aria-label': 'Where the treemap is' });
    this.tiles = element('div', { class: 'tiles', role: 'group', 'aria-label': 'Treemap by size' });
    const controls = element('div', { class: 'controls' }, element('label', {}, 'Put together by', this.by));
    this.rest = element('p', { class: 'quiet' });
    this.node = element('div', {}, controls, this.crumbs, this.tiles, this.rest);
    this.start();
  }

  start() {
    this.way = [buildTree(this.rows, this.by.value === 'owner')];
    this.show();
  }

  enter(node) {
    this.way.push(node);
    this.show();
    (this.tiles.querySelector('button') ?? this.crumbs.querySelector('button')).focus();
  }

  back(depth) {
    this.way.length = depth + 1;
    this.show();
    (this.tiles.querySelector('button') ?? this.crumbs.querySelector('button')).focus();
  }

  show() {
    const here = this.way[this.way.length - 1];
    const crumbs = this.way.map((node, depth) => element('button', {
      type: 'button', onclick: () => this.back(depth), 'aria-current': depth === this.way.length - 1 ? 'location' : null,
    }, node.name === '' ? '/' : node.name));
    const list = element('button', { type: 'button', onclick: () => this.choose(here, this.way) }, 'Show in the table');
    this.crumbs.replaceChildren(...crumbs, element('span', { class: 'quiet' },
      `${formatSize(here.bytes)} in ${formatNoun(here.count, 'change', 'changes')}`), list);
    const largest = [...here.children.values()].sort((a, b) => b.bytes - a.bytes).slice(0, TILES);
    const drawn = largest.reduce((sum, node) => sum + node.bytes, 0);
    const shown = largest.filter((node) => node.bytes > 0 && node.bytes >= drawn * SMALLEST);
    const places = squarify(shown.map((node) => node.bytes), 2.4);
    this.tiles.replaceChildren(...shown.map((node, at) => this.tile(node, places[at])));
    const rest = here.children.size - shown.length;
    this.rest.textContent = rest === 0 ? '' : `${formatNoun(rest, 'smaller one is', 'smaller ones are')} not drawn.`;
  }

  tile(node, place) {
    const label = `${node.name}, ${formatSize(node.bytes)}, ${formatNoun(node.count, 'change', 'changes')}`;
    const go = () => (node.children.size > 0 ? this.enter(node) : this.choose(node, [...this.way, node]));
    const made = element('button', { type: 'button', class: 'tile', 'aria-label': label, title: label, onclick: go },
      element('span', {}, element('b', {}, node.name), formatSize(node.bytes)));
    made.style.setProperty('--hue', hueOf(node.name));
    const { x, y, width, height } = place;
    for (const [side, part] of [['left', x], ['top', y], ['width', width], ['height', height]]) {
      made.style.setProperty(side, `${(part * 100).toFixed(3)}%`);
    }
    return made;
  }
}
