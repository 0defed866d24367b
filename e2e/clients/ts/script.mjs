// What the two TypeScript clients share: the dialogue with the Go test, the
// loopback listener for the redirect, and an OAuth provider in memory.
//
// The dialogue: the script prints one JSON object a line. At {"step":"authorize"}
// the test opens the URL in the person's browser; after {"step":"tools"} it names
// tools to call, one a line, and ends its output when it is done.
import { createServer } from 'node:http';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export function say(step, values = {}) {
	console.log(JSON.stringify({ step, ...values }));
}

/** Listens on a loopback port for the one redirect of the authorization server. */
export class Callback {
	static async listen() {
		const callback = new Callback();
		callback.params = new Promise((resolve) => {
			callback.server = createServer((request, response) => {
				const url = new URL(request.url, callback.url);
				response.setHeader('Connection', 'close');
				if (url.pathname !== '/callback') {
					response.writeHead(404).end();
					return;
				}
				response.end('You may close this window.');
				resolve(url.searchParams);
			});
		});
		callback.server.listen(0, '127.0.0.1');
		await once(callback.server, 'listening');
		callback.url = `http://127.0.0.1:${callback.server.address().port}/callback`;
		return callback;
	}

	/** Resolves to the parameters of the redirect, once its state is checked. */
	async received(state) {
		const params = await this.params;
		this.server.close();
		if (params.get('state') !== state) {
			throw new Error('the redirect carries another state');
		}
		if (params.get('error')) {
			throw new Error(`authorization failed: ${params.get('error')}`);
		}
		return params;
	}
}

/** An OAuthClientProvider of either SDK that keeps all in memory. */
export class MemoryProvider {
	#state = crypto.randomUUID();

	constructor(redirectUrl, name) {
		this.redirectUrl = redirectUrl;
		this.clientMetadata = {
			client_name: name,
			redirect_uris: [redirectUrl],
			grant_types: ['authorization_code', 'refresh_token'],
			response_types: ['code'],
			token_endpoint_auth_method: 'none',
		};
	}

	state() { return this.#state; }
	clientInformation() { return this.client; }
	saveClientInformation(client) { this.client = client; }
	tokens() { return this.saved; }
	saveTokens(tokens) { this.saved = tokens; }
	codeVerifier() { return this.verifier; }
	saveCodeVerifier(verifier) { this.verifier = verifier; }
	redirectToAuthorization(url) { say('authorize', { url: url.href }); }
}

/**
 * Calls the tools that the test names, one a line, until there are no more lines.
 * What the server reports of a call's progress is {"step":"progress"}.
 */
export async function useTools(client, protocol, call = (params, options) => client.callTool(params, options)) {
	const { tools } = await client.listTools();
	say('tools', { protocol, names: tools.map((tool) => tool.name).sort() });
	for await (const name of createInterface({ input: process.stdin })) {
		say('call', { name, result: await call({ name, arguments: {} }, { onprogress: (progress) => say('progress', { progress }) }) });
	}
}
