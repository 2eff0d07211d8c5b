'use strict';
// Comfort only: without this script everything on the page can be reached, and links lead to files.
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const one = (selector, within = document) => within.querySelector(selector);
document.documentElement.classList.add('js');

// Folded parts: opened by the address, and for paper.
const reveal = () => {
  const target = document.getElementById(location.hash.slice(1));
  for (let part = target; part; part = part.parentElement) {
    if (part.localName === 'details') part.open = true;
  }
  if (target) target.scrollIntoView();
};
addEventListener('hashchange', reveal);
reveal();
let folded = [];
addEventListener('beforeprint', () => {
  folded = all('details:not([open])');
  for (const part of folded) part.open = true;
});
addEventListener('afterprint', () => {
  for (const part of folded) part.open = false;
});

// Tables are sorted by their headings: numbers by value, before words; blanks stay last.
const key = (row, column) => {
  const cell = row.cells[column];
  const text = cell.dataset.value ?? cell.textContent.trim();
  return isNaN(text) ? text : Number(text);
};
const rank = key => typeof key === 'number' ? 0 : key === '–' ? 2 : 1;
const compare = (a, b, way) => rank(a) - rank(b)
  || way * (rank(a) ? a.localeCompare(b, 'en', {numeric: true}) : a - b);
for (const head of all('table.sortable thead th')) {
  const button = document.createElement('button');
  button.type = 'button';
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener('click', () => {
    const way = head.ariaSort === 'ascending' ? -1 : 1;
    const table = head.closest('table');
    for (const other of all('th[aria-sort]', table)) other.ariaSort = null;
    head.ariaSort = way === 1 ? 'ascending' : 'descending';
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => compare(key(a, head.cellIndex), key(b, head.cellIndex), way));
    table.tBodies[0].append(...rows);
  });
}

// Search: cards that hold every word, and their lines in the lists.
const cards = all('main .card[data-state]');
const field = one('#search');
const texts = new Map(cards.map(card => [card, card.textContent.toLowerCase()]));
one('.bar').addEventListener('input', () => {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const card of cards) {
    const hit = words.every(word => texts.get(card).includes(word));
    for (const each of [card, ...all(`[data-card="${card.id}"]`)]) each.hidden = !hit;
  }
  const found = cards.filter(card => card.getClientRects().length).length;
  one('#found').textContent = words.length ? `${found} found` : '';
});
addEventListener('keydown', event => {
  if (event.key !== '/' || event.ctrlKey || event.metaKey) return;
  if (event.target.closest && event.target.closest('input, select')) return;
  event.preventDefault();
  field.focus();
});

// Contents: the card in view is marked; on a phone they are a select.
const jump = one('#jump');
const links = new Map(all('.contents a').map(link => [link.hash.slice(1), link]));
const watch = new IntersectionObserver(entries => {
  for (const {target, isIntersecting} of entries) {
    if (!isIntersecting) continue;
    for (const link of links.values()) link.ariaCurrent = null;
    links.get(target.id).ariaCurrent = 'true';
    jump.value = target.id;
  }
}, {rootMargin: '-20% 0px -75% 0px'});
for (const id of links.keys()) watch.observe(document.getElementById(id));
jump.addEventListener('change', () => links.get(jump.value).click());

// Tools of a card.
const dialog = one('dialog');
const inView = card => {
  const figures = all('.views > figure', card);
  return figures.find(each => each.getClientRects().length) || figures[0];
};
const save = (blob, name) => {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
};
const drawn = card => new Promise(resolve => {
  const svg = one('svg', inView(card)) || one('.views svg', card);
  const style = getComputedStyle(svg);
  const {width, height} = svg.viewBox.baseVal;
  const copy = svg.cloneNode(true);
  copy.setAttribute('width', 3 * width);
  copy.setAttribute('height', 3 * height);
  const text = new XMLSerializer().serializeToString(copy)
    .replace(/var\((--\w+)\)/g, (_, name) => style.getPropertyValue(name).trim());
  const image = new Image();
  image.onload = () => {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [3 * width, 3 * height];
    const pen = canvas.getContext('2d');
    pen.fillStyle = style.getPropertyValue('--card').trim();
    pen.fillRect(0, 0, 3 * width, 3 * height);
    pen.drawImage(image, 0, 0);
    canvas.toBlob(resolve);
  };
  image.src = `data:image/svg+xml,${encodeURIComponent(text)}`;
});
const tools = {
  enlarge: card => {
    one('div', dialog).replaceChildren(inView(card).cloneNode(true));
    dialog.showModal();
  },
  close: () => dialog.close(),
  csv: async card => {
    const bytes = atob(JSON.parse(one('#tables').textContent)[card.id]);
    const packed = new Blob([Uint8Array.from(bytes, each => each.charCodeAt(0))]);
    const stream = packed.stream().pipeThrough(new DecompressionStream('gzip'));
    save(new Blob([await new Response(stream).blob()], {type: 'text/csv'}), `${card.id}.csv`);
  },
  png: async card => save(await drawn(card), `${card.id}.png`),
  copy: async (card, tool) => {
    try {
      await navigator.clipboard.write([new ClipboardItem({'image/png': drawn(card)})]);
      tool.textContent = 'Copied';
    } catch {
      tools.png(card);
    }
  },
};
document.addEventListener('click', event => {
  if (event.target === dialog) dialog.close();
  const tool = event.target.closest('[data-do]');
  if (!tool || (tool.dataset.do === 'csv' && !self.DecompressionStream)) return;
  event.preventDefault();
  tools[tool.dataset.do](tool.closest('.card'), tool);
});
