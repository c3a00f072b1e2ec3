import { testBadSources } from './bad-sources.ts';

testBadSources('mariadb');
