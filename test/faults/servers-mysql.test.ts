import { testServers } from './servers.ts';

testServers('mysql');
