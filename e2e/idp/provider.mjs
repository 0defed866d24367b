// An OpenID Connect provider for the tests: npm oidc-provider with two people (and
// nobody, who is refused), a login page without scripts, and a control port that makes it misbehave.
//
// It prints {"step":"ready","issuer":…,"control":…}. The control port takes
//   POST /client  {"redirect_uri":…}        the one client
//   POST /fault   {"where":…,"what":…}      until the next POST /fault; {} ends it
//   POST /rotate                            other signing keys
//   POST /token   {"person":…,"audience":…} an access token (JWT) of a person for an API; {"token":…}
//   GET  /seen                              authorization requests, token requests' count, what must stay secret
import { createServer } from 'node:http';
import { once } from 'node:events';
import { Provider } from 'oidc-provider';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';

const clientID = 'e2e', clientSecret = 'e2e-secret';
const people = ['alice', 'bob'], nobody = 'nobody';
const db = new Map(), grants = new Map();
const seen = { authorize: [], token: 0, keys: 0, secrets: [] };
let fault = {}, provider, signing;

// The package's own memory would be lost when the keys change.
class Adapter {
	constructor(name) { this.name = name; }
	key(id) { return `${this.name}:${id}`; }
	async upsert(id, payload) {
		db.set(this.key(id), payload);
		if (payload.uid) db.set(`uid:${payload.uid}`, payload);
		if (payload.grantId) grants.set(payload.grantId, [...(grants.get(payload.grantId) ?? []), this.key(id)]);
	}
	async find(id) { return db.get(this.key(id)); }
	async findByUid(uid) { return db.get(`uid:${uid}`); }
	async findByUserCode() {}
	async consume(id) { db.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }
	async destroy(id) { db.delete(this.key(id)); }
	async revokeByGrantId(id) { for (const key of grants.get(id) ?? []) db.delete(key); grants.delete(id); }
}

async function newKey() {
	const pair = await generateKeyPair('RS256', { extractable: true });
	const jwk = { ...await exportJWK(pair.privateKey), alg: 'RS256', use: 'sig', kid: `key-${db.size}-${Date.now()}` };
	return { jwk, privateKey: pair.privateKey };
}

async function newProvider(issuer) {
	signing = await newKey();
	const p = new Provider(issuer, {
		adapter: Adapter,
		jwks: { keys: [signing.jwk] },
		cookies: { keys: ['e2e'] },
		features: { devInteractions: { enabled: false } },
		rotateRefreshToken: true,
		claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'groups'] },
		findAccount: (ctx, id) => ({
			accountId: id,
			claims: () => ({ sub: id, email: `${id.slice(3)}@example.com`, email_verified: true, name: id.slice(3), groups: [`friends of ${id.slice(3)}`] }),
		}),
		loadExistingGrant: async (ctx) => {
			const grant = new p.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
			grant.addOIDCScope('openid email profile offline_access');
			await grant.save();
			return grant;
		},
		interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
		renderError: (ctx, out) => { ctx.type = 'text'; ctx.body = JSON.stringify(out); },
	});
	// What passes between the server and the provider alone.
	p.on('grant.success', (ctx) => {
		const { code, code_verifier: verifier } = ctx.oidc.params;
		const { access_token: access, id_token: id, refresh_token: refresh } = ctx.body;
		seen.secrets.push({ code, code_verifier: verifier, access_token: access, id_token: id, refresh_token: refresh, client_secret: clientSecret });
	});
	return p;
}

const page = (uid) => `<!DOCTYPE html><html lang="en"><head><title>Who are you?</title></head><body>
<form method="post" action="/interaction/${uid}">
${[...people, nobody].map((name) => `<label><input type="radio" name="person" value="${name}"> ${name}</label>`).join('\n')}
<button>Log in</button>
</form></body></html>`;

async function read(stream) {
	let text = '';
	for await (const chunk of stream) text += chunk;
	return text;
}

async function interact(req, res) {
	if (req.method === 'GET') {
		res.setHeader('Content-Type', 'text/html; charset=utf-8');
		res.setHeader('Content-Security-Policy', "default-src 'none'; frame-ancestors 'none'");
		return res.end(page(req.url.split('/')[2].split('?')[0]));
	}
	const person = new URLSearchParams(await read(req)).get('person');
	const result = people.includes(person)
		? { login: { accountId: `id-${person}`, remember: false }, consent: {} }
		: { error: 'access_denied', error_description: 'inner detail: it was <b>nobody</b>' };
	return provider.interactionFinished(req, res, result, { mergeWithLastSubmission: false });
}

const whereOf = (path) => ({
	'/.well-known/openid-configuration': 'discovery', '/jwks': 'keys', '/token': 'token', '/me': 'userinfo',
}[path]);

// break answers in place of the provider and reports whether it did.
function misbehave(req, res) {
	switch (fault.what) {
		case 'down': req.socket.destroy(); return true;
		case 'slow': return true; // it never answers
		case 'refuses': res.statusCode = 400; res.end(JSON.stringify({ error: 'invalid_grant', error_description: 'inner <b>detail</b>' })); return true;
		case 'echoes': // what it was sent, as providers in a debugging mode do
			read(req).then((text) => { res.statusCode = 400; res.end(JSON.stringify({ error: 'invalid_grant', error_description: `cannot use ${text}` })); });
			return true;
		case 'breaks': res.statusCode = 503; res.end('inner detail: Traceback'); return true;
		case 'garbage': res.setHeader('Content-Type', 'application/json'); res.end('{"access_token": inner detail'); return true;
		case 'huge': {
			res.setHeader('Content-Type', 'application/json');
			res.write('{"access_token":"');
			const part = 'a'.repeat(1 << 16);
			let left = 1024; // 64 MiB
			const more = () => { while (left-- > 0) if (!res.write(part)) return void res.once('drain', more); res.end('"}'); };
			more();
			return true;
		}
	}
	return false;
}

// spoil changes the ID token of a token answer.
async function spoil(body) {
	const answer = JSON.parse(body);
	const claims = JSON.parse(Buffer.from(answer.id_token.split('.')[1], 'base64url'));
	let { privateKey } = signing;
	switch (fault.what) {
		case 'expired': claims.exp = Math.floor(Date.now() / 1000) - 120; break;
		case 'other audience': claims.aud = 'somebody'; break;
		case 'other issuer': claims.iss = 'https://other.example.com'; break;
		case 'other nonce': claims.nonce = 'somebody'; break;
		case 'no nonce': delete claims.nonce; break;
		case 'forged': ({ privateKey } = await newKey()); break;
		case 'unsigned':
			answer.id_token = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.`;
			return JSON.stringify(answer);
		case 'missing': delete answer.id_token; return JSON.stringify(answer);
		default: return body;
	}
	answer.id_token = await new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: signing.jwk.kid }).sign(privateKey);
	return JSON.stringify(answer);
}

// divert changes the answer that goes to the client through the browser.
function divert(res) {
	const to = new URL(res.getHeader('location'));
	if (fault.what === 'foreign iss') to.searchParams.set('iss', 'https://other.example.com');
	if (fault.what === 'no iss') to.searchParams.delete('iss');
	res.setHeader('location', to.href);
}

// intercept lets change change what the provider answers.
function intercept(res, change) {
	const end = res.end.bind(res);
	res.end = (chunk) => {
		change(chunk).then((body) => { if (body !== undefined) res.setHeader('Content-Length', Buffer.byteLength(body)); end(body); });
		return res;
	};
}

async function serve(req, res) {
	const url = new URL(req.url, 'http://localhost');
	const where = whereOf(url.pathname);
	if (where === 'token') seen.token++;
	if (where === 'keys') seen.keys++;
	if (url.pathname === '/auth') seen.authorize.push(Object.fromEntries(url.searchParams));
	if (url.pathname.startsWith('/interaction/')) return interact(req, res);
	if (fault.where === where && misbehave(req, res)) return undefined;
	if (fault.where === where && where === 'token') {
		intercept(res, (chunk) => (res.statusCode === 200 ? spoil(chunk.toString()) : Promise.resolve(chunk)));
	}
	if (fault.where === 'answer' && url.pathname.startsWith('/auth/')) {
		intercept(res, async (chunk) => { if (res.getHeader('location')) divert(res); return chunk; });
	}
	return provider.callback()(req, res);
}

// accessToken is what another client of the provider would get for a person: a
// token for an API (RFC 8707, RFC 9068).
async function accessToken({ person, audience }) {
	const client = await provider.Client.find(clientID);
	const token = new provider.AccessToken({ accountId: `id-${person}`, client, grantId: 'of an agent', gty: 'authorization_code', scope: 'read' });
	token.resourceServer = new provider.ResourceServer(audience, { audience, scope: 'read', accessTokenFormat: 'jwt' });
	return token.save();
}

async function control(issuer, req, res) {
	const text = await read(req);
	switch (`${req.method} ${req.url}`) {
		case 'POST /client':
			db.set(`Client:${clientID}`, {
				client_id: clientID, client_secret: clientSecret, redirect_uris: [JSON.parse(text).redirect_uri],
				// Not what clients try first.
				token_endpoint_auth_method: 'client_secret_post',
				grant_types: ['authorization_code', 'refresh_token'],
			});
			break;
		case 'POST /fault': fault = JSON.parse(text); break;
		case 'POST /rotate': provider = await newProvider(issuer); break;
		case 'POST /token': return res.end(JSON.stringify({ token: await accessToken(JSON.parse(text)) }));
		case 'GET /seen': return res.end(JSON.stringify(seen));
		default: res.statusCode = 404;
	}
	return res.end();
}

const listen = async (handler) => {
	const server = createServer((req, res) => handler(req, res).catch((err) => { console.error(err); res.destroy(); }));
	server.listen(0, '127.0.0.1');
	await once(server, 'listening');
	return `http://localhost:${server.address().port}`;
};

const issuer = await listen(serve) + (process.env.ISSUER_SUFFIX ?? '');
provider = await newProvider(issuer);
console.log(JSON.stringify({ step: 'ready', issuer, control: await listen((req, res) => control(issuer, req, res)) }));
