import { testNetwork } from './network.ts';

testNetwork('db2');
