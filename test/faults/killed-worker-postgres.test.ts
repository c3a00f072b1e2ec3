import { testKilledWorker } from './killed-worker.ts';

testKilledWorker('postgres');
