// The client of @modelcontextprotocol/client 2.x, told to find the newest
// revision that the server speaks. Usage: node v2.mjs MCP-URL
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';

import { Callback, MemoryProvider, useTools } from './script.mjs';

const url = new URL(process.argv[2]);
const callback = await Callback.listen();
const authProvider = new MemoryProvider(callback.url, 'TypeScript client v2');
const connect = async () => {
	const client = new Client({ name: 'e2e-ts-v2', version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } });
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
// With the parameters as they came, the client checks iss (RFC 9207).
const logIn = async (transport) => transport.finishAuth(await callback.received(authProvider.state()));
await logIn(first.transport);
const { client, transport } = await connect();
await useTools(client, client.getNegotiatedProtocolVersion(), (error) => error instanceof UnauthorizedError, () => logIn(transport));
await client.close();
callback.close();
