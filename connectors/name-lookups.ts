/**
 * The process that looks names up for {@link NameService}: the system's own resolver, so that hosts files and the order of name
 * services count. Without its parent it ends itself.
 */
import { lookup } from 'node:dns';
import type { NameAnswer, NameQuestion } from './name-service.ts';

function answer(message: NameAnswer | 'ready'): void {
  process.send?.(message);
}

process.on('message', ({ id, host }: NameQuestion) => {
  lookup(host, { all: true }, (error, addresses) => answer(error === null ? { id, addresses } : { id, code: error.code ?? 'EAI_FAIL' }));
});

// An orderly exit would wait for the resolver's threads.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));

answer('ready');
