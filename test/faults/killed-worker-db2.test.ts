import { testKilledWorker } from './killed-worker.ts';

testKilledWorker('db2');
