// Elements from descriptions, and one tree made like another. What comes from outside becomes text here and nothing
// else: there is no way from this module to markup.

const SVG = 'http://www.w3.org/2000/svg';
const HANDLERS = ['onclick', 'onsubmit', 'onchange', 'oninput'];
const FIELDS = new Set(['INPUT', 'SELECT', 'TEXTAREA']);

/** `h('a', { href: '#/x', class: 'y' }, 'text', [more])`; `svg:` before a name makes an element of SVG. */
export function h(tag, attributes, ...children) {
  const svg = tag.startsWith('svg:');
  const element = svg ? document.createElementNS(SVG, tag.slice(4)) : document.createElement(tag);
  append(element, children);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    set(element, name, value);
  }
  return element;
}

function append(element, children) {
  for (const child of children) {
    if (Array.isArray(child)) {
      append(element, child);
    } else if (child !== null && child !== undefined && child !== false) {
      element.append(child instanceof Node ? child : String(child));
    }
  }
}

function set(element, name, value) {
  if (value === null || value === undefined || value === false) {
    return;
  }
  if (HANDLERS.includes(name)) {
    element[name] = value;
  } else if (name === 'key') {
    element.dataset.key = value;
  } else if (name === 'style') {
    // Through the object model, as the policy forbids the attribute.
    element.given = value;
    applyStyle(element, value);
  } else if (name === 'value' && FIELDS.has(element.nodeName)) {
    element.meant = value;
    element.value = value;
  } else if (name === 'href' && !/^(#|https?:\/\/)/i.test(value)) {
    element.title = value;
  } else {
    element.setAttribute(name, value === true ? '' : value);
  }
}

function applyStyle(element, style) {
  for (const [property, value] of Object.entries(style)) {
    element.style.setProperty(property, value);
  }
}

/** Makes `old` like `fresh` with as little change as it takes, so that focus, selection and scrolling stay. */
export function morph(old, fresh) {
  if (old.nodeName !== fresh.nodeName || keyOf(old) !== keyOf(fresh)) {
    old.replaceWith(fresh);
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) {
      old.data = fresh.data;
    }
    return;
  }
  likeness(old, fresh);
  if (!('keep' in fresh.dataset)) {
    morphChildren(old, fresh);
  }
}

function likeness(old, fresh) {
  // What the reader opened or closed stays so.
  const own = (name) => name === 'style' || (name === 'open' && old.nodeName === 'DETAILS');
  for (const { name } of [...old.attributes]) {
    if (!own(name) && !fresh.hasAttribute(name)) {
      old.removeAttribute(name);
    }
  }
  for (const { name, value } of fresh.attributes) {
    if (!own(name) && old.getAttribute(name) !== value) {
      old.setAttribute(name, value);
    }
  }
  for (const handler of HANDLERS) {
    if (old[handler] !== fresh[handler]) {
      old[handler] = fresh[handler];
    }
  }
  if (fresh.given) {
    applyStyle(old, fresh.given);
  }
  if (fresh.meant !== old.meant) {
    old.meant = fresh.meant;
    old.value = fresh.meant;
  }
}

function keyOf(node) {
  return node.dataset?.key;
}

/** Makes what is in `old` like what is in `fresh`, which is used up. */
export function morphChildren(old, fresh) {
  const wanted = [...fresh.childNodes];
  const keys = new Set(wanted.map(keyOf).filter(Boolean));
  const known = new Map();
  for (const node of [...old.childNodes]) {
    const key = keyOf(node);
    if (key && !keys.has(key)) {
      node.remove();
    } else if (key) {
      known.set(key, node);
    }
  }
  let at = old.firstChild;
  for (const node of wanted) {
    const same = keyOf(node) ? known.get(keyOf(node)) : null;
    if (same && same !== at) {
      old.insertBefore(same, at);
      morph(same, node);
    } else if (at && (same || (!keyOf(node) && !keyOf(at) && at.nodeName === node.nodeName))) {
      const next = at.nextSibling;
      morph(at, node);
      at = next;
    } else {
      old.insertBefore(node, at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}
