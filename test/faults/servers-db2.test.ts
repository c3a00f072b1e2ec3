import { testServers } from './servers.ts';

testServers('db2');
