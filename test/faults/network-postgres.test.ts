import { testNetwork } from './network.ts';

testNetwork('postgres');
