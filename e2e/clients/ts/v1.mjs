// The client of @modelcontextprotocol/sdk 1.x, which opens with initialize.
// Usage: node v1.mjs MCP-URL
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

import { Callback, MemoryProvider, useTools } from './script.mjs';

const url = new URL(process.argv[2]);
const callback = await Callback.listen();
const authProvider = new MemoryProvider(callback.url, 'TypeScript SDK v1');
const connect = async () => {
	const client = new Client({ name: 'e2e-ts-v1', version: '1.0.0' });
	const transport = new StreamableHTTPClientTransport(url, { authProvider });
	try {
		await client.connect(transport);
	} catch (error) {
		if (!(error instanceof UnauthorizedError)) throw error;
		return { transport };
	}
	return { client, transport };
};

const first = await connect();
if (first.client) throw new Error('the server let an unknown client in');
const params = await callback.received(authProvider.state());
await first.transport.finishAuth(params.get('code'));
const { client, transport } = await connect();
await useTools(client, transport.protocolVersion, (params, options) => client.callTool(params, undefined, options));
await transport.terminateSession();
await client.close();
