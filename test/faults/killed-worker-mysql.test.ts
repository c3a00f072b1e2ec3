import { testKilledWorker } from './killed-worker.ts';

testKilledWorker('mysql');
