/** Starts a backfill from TypeScript and waits for it: `node examples/backfill-client.ts hq bank.account 2026-01-01 2026-02-01 [127.0.0.1:7233 [default]]`. */
import { Client, Connection } from '@temporalio/client';

const [source, stream, from, to, address = '127.0.0.1:7233', namespace = 'default'] = process.argv.slice(2);
const connection = await Connection.connect({ address });
const client = new Client({ connection, namespace });
const result: unknown = await client.workflow.execute('backfillStream', { taskQueue: 'tidemark', workflowId: `backfill/${source}/${stream}/mine`, args: [{ source, stream, from, to, slice: '1d' }] });
console.log(JSON.stringify(result));
await connection.close();
