// Drives Chromium for the Go tests of this folder. Each line of the input is a
// JSON object with a command, its tab and its arguments; each gets one line with
// "value" or "error". Arguments of the program go to Chromium.
import { createInterface } from "node:readline";
import { AxeBuilder } from "@axe-core/playwright";
import { chromium } from "playwright-core";

const timeout = 20_000; // ms of one step

const browser = await chromium.launch({
	executablePath: process.env.E2E_CHROMIUM,
	args: [
		"--no-sandbox", // the tests may run as root
		"--disable-gpu",
		"--disable-quic",
		"--no-first-run",
		"--disable-background-networking",
		"--disable-component-update",
		"--disable-sync",
		// Whatever tries to leave this machine fails, and is seen.
		"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
		...process.argv.slice(2),
	],
});

// Tab is a browser window of its own, with its own cookies, and what was seen in
// it since it was last asked.
class Tab {
	seen = { console: [], requests: [], documents: [] };

	static async open({ width, height, scale = 1, scheme = "light" }) {
		const context = await browser.newContext({
			viewport: { width, height },
			deviceScaleFactor: scale,
			colorScheme: scheme,
			serviceWorkers: "block",
		});
		context.setDefaultTimeout(timeout);
		await context.addInitScript(() =>
			document.addEventListener("securitypolicyviolation", (e) =>
				console.error(`policy violated: ${e.effectiveDirective} ${e.blockedURI}`)),
		);
		return new Tab(await context.newPage());
	}

	constructor(page) {
		this.page = page;
		this.context = page.context();
		page.on("request", (r) => this.seen.requests.push(r.url()));
		page.on("console", (m) => this.seen.console.push({ type: m.type(), text: m.text(), url: m.location().url }));
		page.on("pageerror", (e) => this.seen.console.push({ type: "error", text: String(e), url: page.url() }));
		page.on("response", (r) => this.document(r));
	}

	// document notes the answer to a navigation of the window itself.
	document(response) {
		const request = response.request();
		if (!request.isNavigationRequest() || request.frame() !== this.page.mainFrame()) return;
		if (response.status() === 204) return; // leaves the page that is there
		const headers = response.headers();
		this.seen.documents.push({
			method: request.method(), url: response.url(), status: response.status(),
			location: headers.location ?? "", setCookie: headers["set-cookie"] ?? "",
		});
	}

	async goto({ url }) {
		await this.page.goto(url);
	}

	// navigate does what leads to another page, and returns when that is there.
	async navigate(act) {
		const there = (frame) => frame === this.page.mainFrame();
		await Promise.all([this.page.waitForEvent("framenavigated", there), act()]);
		await this.page.waitForLoadState("load");
	}

	// press presses a key. It leads to another page, to an answer that the window
	// does not show, to a message in the console, or nowhere.
	async press({ key, leads }) {
		await this.lead(leads, () => this.page.keyboard.press(key));
	}

	async click({ button, leads }) {
		await this.lead(leads, () => this.page.getByRole("button", { name: button, exact: true }).click());
	}

	async lead(leads, act) {
		if (leads === "page") return this.navigate(act);
		if (!leads) return act();
		await Promise.all([this.page.waitForEvent(leads), act()]);
	}

	async follow({ link }) {
		await this.navigate(() => this.page.getByRole("link", { name: link, exact: true }).click());
	}

	// popup presses a key that opens another tab, which becomes a tab of its own.
	async popup({ key, as }) {
		const [page] = await Promise.all([this.context.waitForEvent("page"), this.page.keyboard.press(key)]);
		await page.waitForLoadState("load");
		tabs.set(as, new Tab(page));
	}

	// stay keeps a page that would go on by itself to an address with that parameter.
	async stay({ parameter }) {
		await this.page.route((u) => u.searchParams.has(parameter), (route) => route.fulfill({ status: 204 }));
	}

	// goOn loads the page again and does not keep it any more.
	async goOn() {
		await this.page.unrouteAll();
		await this.page.reload({ waitUntil: "commit" });
	}

	// arrive waits until the window shows a page of that origin.
	async arrive({ origin }) {
		await this.page.waitForURL((u) => u.origin === origin);
	}

	async type({ text }) {
		await this.page.keyboard.type(text);
	}

	async choose({ label }) {
		await this.page.getByLabel(label).check();
	}

	async fill({ label, text }) {
		await this.page.getByLabel(label, { exact: true }).fill(text);
	}

	// look reports the page and what was seen since the last look.
	async look() {
		const seen = this.seen;
		this.seen = { console: [], requests: [], documents: [] };
		const page = await this.page.evaluate(() => ({
			url: location.href,
			title: document.title,
			text: document.body?.innerText ?? "",
			overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
			background: getComputedStyle(document.body).backgroundColor,
		}));
		return { ...page, ...seen };
	}

	// focus reports which control has the focus and whether that can be seen.
	async focus() {
		return this.page.evaluate(() => {
			const e = document.activeElement;
			const style = getComputedStyle(e);
			return {
				tag: e.tagName.toLowerCase(),
				name: (e.labels?.[0] ?? e).textContent.replace(/\s+/g, " ").trim(),
				visible: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
			};
		});
	}

	async axe() {
		const { violations } = await new AxeBuilder({ page: this.page }).analyze();
		return violations.map((v) => ({
			id: v.id, impact: v.impact ?? "", help: v.help, nodes: v.nodes.map((n) => n.html),
		}));
	}

	async screenshot({ file }) {
		await this.page.screenshot({ path: file, fullPage: true });
	}

	async cookies() {
		return this.context.cookies();
	}

	// clickAndHold clicks on a button whose form goes to an address that ends
	// so, and keeps the redirect in the answer until release. Redirects cannot be
	// stopped on their way, so the browser gets an empty answer instead.
	async clickAndHold({ button, path }) {
		const redirect = new Promise((resolve, reject) => {
			this.page.route((u) => u.pathname.endsWith(path), async (route) => {
				const response = await route.fetch({ maxRedirects: 0 });
				await route.fulfill({ status: 204 });
				resolve(response.headers().location);
			}, { times: 1 }).catch(reject);
		});
		await this.page.getByRole("button", { name: button, exact: true }).click();
		this.held = await redirect;
	}

	async release() {
		await this.page.goto(this.held);
	}

	// policy changes the Content-Security-Policy of pages whose address ends so.
	async policy({ path, policy }) {
		await this.page.route((u) => u.pathname.endsWith(path), async (route) => {
			const response = await route.fetch({ maxRedirects: 0 });
			await route.fulfill({ response, headers: { ...response.headers(), "content-security-policy": policy } });
		}, { times: 1 });
	}

	// send submits a form from the page that is open, wherever it goes.
	async send({ url, fields }) {
		await this.navigate(() =>
			this.page.evaluate(([url, fields]) => {
				const form = document.createElement("form");
				form.method = "post";
				form.action = url;
				for (const [name, value] of Object.entries(fields)) {
					const input = document.createElement("input");
					input.name = name;
					input.value = value;
					form.append(input);
				}
				document.body.append(form);
				form.submit();
			}, [url, fields]),
		);
	}

	// form returns the hidden fields of the page's first form, and its address.
	async form() {
		return this.page.evaluate(() => ({
			action: document.forms[0].action,
			token: document.forms[0].elements.namedItem("token")?.value ?? "",
		}));
	}

	async close() {
		await this.context.close();
	}
}

const tabs = new Map();

async function run({ command, tab, ...args }) {
	if (command === "version") return browser.version();
	if (command === "open") {
		tabs.set(tab, await Tab.open(args));
		return null;
	}
	return (await tabs.get(tab)[command](args)) ?? null;
}

for await (const line of createInterface({ input: process.stdin })) {
	let answer;
	try {
		answer = { value: await run(JSON.parse(line)) };
	} catch (e) {
		answer = { error: String(e.stack ?? e) };
	}
	process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
