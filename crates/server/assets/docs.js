// Shows /api/openapi.json: routes by tag, their parameters, bodies, answers and schemas, and lets one try a call.
// Everything is built with textContent, so nothing of the description is ever read as markup.
'use strict';

const byId = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

let description;

function resolve(node) {
  let found = node;
  for (let depth = 0; found && found.$ref && depth < 20; depth += 1) {
    found = found.$ref.replace(/^#\//, '').split('/').reduce((at, key) => at?.[key], description);
  }
  return found ?? {};
}

const refName = (node) => node?.$ref?.split('/').pop();

// A type as a short text: `string`, `Product[]`, `Page_Run`.
function typeText(schema) {
  if (!schema) return 'any';
  if (schema.$ref) return refName(schema);
  const anyOf = schema.oneOf ?? schema.anyOf ?? schema.allOf;
  if (anyOf) return anyOf.map(typeText).filter((text) => text !== 'null').join(' or ');
  const types = [].concat(schema.type ?? 'any').filter((type) => type !== 'null');
  if (types[0] === 'array') return `${typeText(schema.items)}[]`;
  const format = schema.format ? ` (${schema.format})` : '';
  return (schema.enum ? schema.enum.map((value) => JSON.stringify(value)).join(' | ') : types.join(' or ')) + format;
}

// An example value: what the description gives, else made from the schema.
function example(schema, depth = 0) {
  const real = resolve(schema);
  if (real.example !== undefined) return real.example;
  if (real.examples?.length) return real.examples[0];
  if (real.default !== undefined) return real.default;
  if (depth > 5) return null;
  const first = (real.oneOf ?? real.anyOf ?? real.allOf ?? []).find((one) => one.type !== 'null');
  if (first) return example(first, depth + 1);
  if (real.enum) return real.enum[0];
  const type = [].concat(real.type ?? 'object').find((one) => one !== 'null');
  if (type === 'object') {
    const members = Object.entries(real.properties ?? {});
    return Object.fromEntries(members.map(([name, value]) => [name, example(value, depth + 1)]));
  }
  if (type === 'array') return [example(real.items, depth + 1)];
  if (type === 'integer' || type === 'number') return real.minimum ?? 0;
  if (type === 'boolean') return false;
  if (real.format === 'date-time') return '2026-01-01T00:00:00Z';
  return 'text';
}

// Descriptions hold a little Markdown: paragraphs, `code`, fenced blocks, lists.
function prose(text) {
  const box = make('div');
  for (const [at, part] of (text ?? '').split('```').entries()) {
    if (at % 2 === 1) {
      box.append(make('pre', { tabindex: '0' }, make('code', {}, part.replace(/^[a-z]*\n/, '').trimEnd())));
      continue;
    }
    for (const block of part.split(/\n\s*\n/).map((one) => one.trim()).filter(Boolean)) {
      const items = block.split('\n').filter((line) => line.startsWith('- '));
      if (items.length) box.append(make('ul', {}, ...items.map((line) => make('li', {}, ...spans(line.slice(2))))));
      else box.append(make('p', {}, ...spans(block)));
    }
  }
  return box;
}

function spans(text) {
  return text.split('`').map((part, at) => (at % 2 ? make('code', {}, part) : part));
}

function schemaTable(schema) {
  const real = resolve(schema);
  const members = Object.entries(real.properties ?? {});
  if (!members.length) return make('p', {}, make('code', {}, typeText(real)));
  const rows = members.map(([name, value]) => {
    const target = refName(value) ?? refName(value.items) ?? refName((value.oneOf ?? value.anyOf ?? []).find((one) => one.$ref));
    const type = make('code', {}, typeText(value));
    return make('tr', {},
      make('td', {}, make('code', {}, name), real.required?.includes(name) ? '' : make('span', { class: 'note' }, ' optional')),
      make('td', {}, target ? make('a', { href: `#schema-${target}` }, type) : type),
      make('td', {}, ...spans(value.description ?? '')));
  });
  const head = make('tr', {}, ...['Member', 'Type', 'Meaning'].map((title) => make('th', { scope: 'col' }, title)));
  return make('table', {}, make('thead', {}, head), make('tbody', {}, ...rows));
}

function parameterRow(parameter, id) {
  const schema = resolve(parameter.schema);
  const label = make('label', { for: id }, make('code', {}, parameter.name));
  if (parameter.required) label.append(make('span', { class: 'must', title: 'required' }, ' *'));
  const shown = parameter.example ?? schema.example;
  const input = make('input', {
    id, 'data-name': parameter.name, 'data-in': parameter.in, required: parameter.required, spellcheck: 'false',
    placeholder: shown === undefined ? typeText(parameter.schema) : String(shown),
  });
  return make('tr', {}, make('td', {}, label), make('td', {}, parameter.in),
    make('td', {}, ...spans(parameter.description ?? '')), make('td', {}, input));
}

function answersTable(responses) {
  const rows = Object.entries(responses ?? {}).map(([status, given]) => {
    const response = resolve(given);
    const kinds = Object.entries(response.content ?? {}).map(([kind, media]) => {
      const name = refName(media.schema) ?? refName(media.schema?.items);
      const text = make('code', {}, kind);
      return make('div', {}, text, name ? ' ' : null, name ? make('a', { href: `#schema-${name}` }, name) : null);
    });
    return make('tr', {}, make('td', {}, make('code', {}, status)), make('td', {}, ...spans(response.description ?? '')),
      make('td', {}, ...kinds));
  });
  const head = make('tr', {}, ...['Status', 'Meaning', 'Form'].map((title) => make('th', { scope: 'col' }, title)));
  return make('table', {}, make('thead', {}, head), make('tbody', {}, ...rows));
}

function curl(method, url, body, accept) {
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  const parts = ['curl', method === 'get' ? null : `-X ${method.toUpperCase()}`, quoted(new URL(url, location.href).href),
    '-H "Authorization: Bearer $MESHWORK_TOKEN"', accept ? `-H ${quoted(`Accept: ${accept}`)}` : null,
    body ? "-H 'Content-Type: application/json'" : null, body ? `-d ${quoted(body)}` : null];
  return parts.filter(Boolean).join(' ');
}

// Shows at most this much of an answer: results may be large.
const SHOWN = 200000;

async function readSome(response) {
  const reader = response.body?.getReader();
  if (!reader) return '';
  const chunks = [];
  let size = 0;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    chunks.push(value);
    size += value.length;
    if (size > SHOWN) { await reader.cancel(); break; }
  }
  const text = await new Blob(chunks).text();
  return size > SHOWN ? `${text.slice(0, SHOWN)}\n… (more)` : text;
}

function tryForm(method, path, operation, id, inputs) {
  const content = operation.requestBody ? resolve(operation.requestBody).content ?? {} : {};
  const media = content['application/json'];
  const kinds = Object.keys(resolve(operation.responses?.['200'] ?? operation.responses?.['201'] ?? {}).content ?? {});
  const accept = make('select', { id: `${id}-accept` }, ...kinds.map((kind) => make('option', {}, kind)));
  const given = media && (media.example ?? Object.values(media.examples ?? {})[0]?.value ?? example(media.schema));
  const body = media ? make('textarea', { id: `${id}-body`, spellcheck: 'false' }) : null;
  if (body) body.value = JSON.stringify(given, null, 2);
  const send = make('button', { type: 'submit' }, 'Send');
  const answer = make('div', { class: 'answer', 'aria-live': 'polite' });
  const form = make('form', { class: 'try' },
    body ? make('label', { for: `${id}-body` }, 'Body') : null, body,
    make('div', { class: 'row' }, send,
      kinds.length > 1 ? make('label', { for: `${id}-accept` }, 'as') : null, kinds.length > 1 ? accept : null),
    answer);
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    let url = path;
    const query = new URLSearchParams();
    const headers = {};
    for (const input of inputs.querySelectorAll('input')) {
      const { name, in: where } = input.dataset;
      if (where === 'path') {
        if (!input.value) { input.focus(); answer.replaceChildren(make('p', { class: 'bad' }, `${name} is required.`)); return; }
        url = url.replace(`{${name}}`, encodeURIComponent(input.value));
      } else if (input.value && where === 'query') query.set(name, input.value);
      else if (input.value && where === 'header') headers[name] = input.value;
    }
    if ([...query].length) url += `?${query}`;
    const token = byId('token').value.trim();
    if (token) headers.authorization = `Bearer ${token}`;
    if (kinds.length) headers.accept = accept.value;
    if (body) headers['content-type'] = 'application/json';
    send.disabled = true;
    const begun = performance.now();
    try {
      const response = await fetch(url, { method: method.toUpperCase(), headers, body: body?.value, credentials: 'omit' });
      let text = await readSome(response);
      if ((response.headers.get('content-type') ?? '').includes('json')) {
        try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* NDJSON, or cut off: as it came */ }
      }
      const took = Math.round(performance.now() - begun);
      const shown = [...response.headers].map(([name, value]) => `${name}: ${value}`).join('\n');
      answer.replaceChildren(
        make('p', {}, make('span', { class: `status ${response.ok ? 'ok' : 'bad'}` }, `${response.status} ${response.statusText}`), ` in ${took} ms`),
        make('pre', { tabindex: '0', 'aria-label': 'Answer' }, make('code', {}, text || '(no body)')),
        make('details', {}, make('summary', {}, 'Headers'), make('pre', { tabindex: '0' }, make('code', {}, shown))));
    } catch (error) {
      answer.replaceChildren(make('p', { class: 'bad' }, `The server did not answer: ${error.message}`));
    } finally {
      send.disabled = false;
    }
  });
  const command = curl(method, path, body ? JSON.stringify(given) : null, kinds.length > 1 ? kinds[0] : null);
  return make('div', {}, make('h4', {}, 'Try it'), make('pre', { tabindex: '0', 'aria-label': 'The same with curl' }, make('code', {}, command)), form);
}

function routeId(method, path) {
  return `${method}-${path.replaceAll(/[^a-z0-9]+/gi, '-').replaceAll(/^-|-$/g, '')}`;
}

function routeBox({ method, path, operation }) {
  const id = routeId(method, path);
  const inside = make('div', { class: 'inside' });
  const access = operation.security?.length === 0 ? 'no credential' : operation['x-permission'] ?? '';
  const box = make('details', { class: 'route', id, 'data-search': `${method} ${path} ${operation.summary ?? ''}`.toLowerCase() },
    make('summary', {}, make('span', { class: `method ${method}` }, method.toUpperCase()), make('span', { class: 'path' }, path),
      make('span', { class: 'summary' }, ...spans(operation.summary ?? '')), make('span', { class: 'needs' }, access)),
    inside);
  // Filled when it is opened: a page of all forms at once would be slow.
  box.addEventListener('toggle', () => {
    if (!box.open || inside.childElementCount) return;
    if (operation.description) inside.append(prose(operation.description));
    const parameters = (operation.parameters ?? []).map(resolve);
    const rows = parameters.map((parameter, at) => parameterRow(parameter, `${id}-${at}`));
    const head = make('tr', {}, ...['Parameter', 'In', 'Meaning', 'Value'].map((title) => make('th', { scope: 'col' }, title)));
    const inputs = make('table', {}, make('thead', {}, head), make('tbody', {}, ...rows));
    if (rows.length) inside.append(make('h4', {}, 'Parameters'), inputs);
    const body = resolve(operation.requestBody ?? {}).content?.['application/json'];
    if (body) inside.append(make('h4', {}, 'Body'), schemaTable(body.schema));
    inside.append(make('h4', {}, 'Answers'), answersTable(operation.responses), tryForm(method, path, operation, id, inputs));
  });
  return box;
}

function show() {
  const tags = new Map((description.tags ?? []).map((tag) => [tag.name, { about: tag.description, routes: [] }]));
  for (const [path, item] of Object.entries(description.paths)) {
    for (const method of ['get', 'post', 'put', 'patch', 'delete']) {
      const operation = item[method];
      if (!operation) continue;
      const tag = operation.tags?.[0] ?? 'other';
      if (!tags.has(tag)) tags.set(tag, { routes: [] });
      tags.get(tag).routes.push({ method, path, operation });
    }
  }
  byId('version').textContent = description.info.version;
  byId('intro').replaceChildren(prose(description.info.description));
  for (const [tag, { about, routes }] of tags) {
    if (!routes.length) continue;
    const section = make('section', { 'aria-label': tag }, make('h2', {}, tag), about ? prose(about) : null, ...routes.map(routeBox));
    byId('routes').append(section);
    const links = routes.map(({ method, path }) => make('li', {}, make('a', { href: `#${routeId(method, path)}` },
      make('span', { class: `method ${method}` }, method.toUpperCase()), path.replace('/api/v1', ''))));
    byId('index').append(make('div', {}, make('h2', {}, tag), make('ul', {}, ...links)));
  }
  for (const [name, schema] of Object.entries(description.components?.schemas ?? {})) {
    const box = make('details', { class: 'schema', id: `schema-${name}` },
      make('summary', {}, make('span', { class: 'path' }, name), make('span', { class: 'summary' }, ...spans((schema.description ?? '').split('\n')[0]))),
      make('div', { class: 'inside' }, prose(schema.description), schemaTable(schema)));
    byId('schema-list').append(box);
  }
  byId('schemas').hidden = false;
  byId('status').textContent = '';
  openTarget();
}

function openTarget() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.tagName === 'DETAILS') { target.open = true; target.scrollIntoView(); target.querySelector('summary').focus({ preventScroll: true }); }
}

function search() {
  const wanted = byId('search').value.trim().toLowerCase();
  for (const box of document.querySelectorAll('details.route')) {
    const hit = wanted.split(/\s+/).every((word) => box.dataset.search.includes(word));
    box.hidden = !hit;
    const link = byId('index').querySelector(`a[href="#${CSS.escape(box.id)}"]`);
    if (link) link.parentElement.hidden = !hit;
  }
  for (const part of document.querySelectorAll('#routes section')) part.hidden = !part.querySelector('details.route:not([hidden])');
  for (const part of byId('index').children) part.hidden = !part.querySelector('li:not([hidden])');
}

addEventListener('hashchange', openTarget);
addEventListener('keydown', (event) => {
  if (event.key === '/' && !/INPUT|TEXTAREA|SELECT/.test(document.activeElement.tagName)) { event.preventDefault(); byId('search').focus(); }
});
byId('search').addEventListener('input', search);
byId('credentials').addEventListener('submit', (event) => event.preventDefault());

try {
  byId('token').value = sessionStorage.getItem('meshwork-token') ?? '';
  byId('token').addEventListener('change', () => sessionStorage.setItem('meshwork-token', byId('token').value.trim()));
} catch { /* storage is off: the token lives in the field only */ }

fetch('/api/openapi.json')
  .then((response) => response.json())
  .then((read) => { description = read; show(); })
  .catch((error) => { byId('status').textContent = `The description could not be read: ${error.message}`; });
