import { testNetwork } from './network.ts';

testNetwork('mysql');
