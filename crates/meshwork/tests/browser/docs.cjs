// The docs page in a real browser: it loads offline, every route opens, one can try a call, and axe finds nothing, on a
// narrow and a wide window, light and dark. Usage: node docs.cjs URL TOKEN [folder for pictures]
'use strict';

const { chromium } = require('playwright-core');
const { AxeBuilder } = require('@axe-core/playwright');

const [url, token, pictures] = process.argv.slice(2);
const ARGUMENTS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

const failures = [];
const check = (holds, what) => { if (!holds) failures.push(what); };

async function violations(page, where) {
  // Every rule runs; what passes is not written out node by node, which would take most of the time.
  const { violations: found } = await new AxeBuilder({ page }).options({ resultTypes: ['violations'] }).analyze();
  for (const one of found.filter(({ impact }) => impact === 'serious' || impact === 'critical')) {
    const nodes = one.nodes.slice(0, 3).map((node) => `${node.target} ${node.failureSummary}`).join('; ');
    failures.push(`${where}: ${one.id}: ${one.help}: ${nodes}`);
  }
}

// `thorough`: also with everything opened at once, which takes axe a while.
async function look(browser, name, viewport, colorScheme, thorough) {
  const context = await browser.newContext({ viewport, colorScheme, reducedMotion: 'reduce' });
  const page = await context.newPage();
  // Nothing may come from elsewhere.
  await page.route('**', (route) => {
    const asked = route.request().url();
    if (asked.startsWith(url) || asked.startsWith('data:')) return route.continue();
    failures.push(`${name}: asks for ${asked}`);
    return route.abort();
  });
  page.on('pageerror', (error) => failures.push(`${name}: ${error.message}`));
  page.on('console', (message) => { if (message.type() === 'error') failures.push(`${name}: console: ${message.text()}`); });
  await page.goto(`${url}/api/docs`);
  await page.waitForSelector('details.route');
  if (pictures) await page.screenshot({ path: `${pictures}/${name}.png` });
  await violations(page, `${name}, closed`);

  const routes = await page.locator('details.route > summary').count();
  check(routes >= 30, `${name}: only ${routes} routes`);
  await page.goto(`${url}/api/docs#get-api-v1-whoami`);
  await page.fill('#token', token);
  const box = page.locator('#get-api-v1-whoami');
  await box.locator('button[type=submit]').click();
  await box.locator('.answer .status').waitFor();
  check((await box.locator('.answer .status').innerText()).startsWith('200'), `${name}: the call is not answered by 200`);
  if (pictures) await page.screenshot({ path: `${pictures}/${name}-tried.png` });
  await page.goto(`${url}/api/docs#post-api-v1-query`);
  await page.locator('#post-api-v1-query textarea').waitFor();
  if (pictures) await page.screenshot({ path: `${pictures}/${name}-query.png` });

  // Everything opened at once.
  await page.evaluate(() => { for (const one of document.querySelectorAll('details')) one.open = true; });
  await page.waitForTimeout(200);
  if (thorough) await violations(page, `${name}, open`);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  check(wide <= 0, `${name}: the page is ${wide} pixels wider than its window`);

  await page.fill('#search', 'agreements');
  const shown = await page.locator('details.route:visible').count();
  check(shown > 0 && shown < routes, `${name}: the search shows ${shown} of ${routes}`);
  await context.close();
}

(async () => {
  const executablePath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
    .find((path) => require('node:fs').existsSync(path));
  const browser = await chromium.launch({ executablePath, args: ARGUMENTS });
  await look(browser, 'wide-light', { width: 1440, height: 900 }, 'light', true);
  await look(browser, 'wide-dark', { width: 1440, height: 900 }, 'dark', false);
  await look(browser, 'narrow-light', { width: 390, height: 844 }, 'light', false);
  await look(browser, 'narrow-dark', { width: 390, height: 844 }, 'dark', true);
  await browser.close();
  if (failures.length) {
    console.error(failures.join('\n'));
    process.exit(1);
  }
  console.log('the docs page: all well');
})().catch((error) => { console.error(error); process.exit(1); });
