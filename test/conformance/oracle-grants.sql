-- What a source's user needs beside SELECT on its tables, so that open transactions are seen.
ALTER SESSION SET CONTAINER = FREEPDB1;
GRANT SELECT ON sys.v_$database TO tidemark;
GRANT SELECT ON sys.gv_$transaction TO tidemark;
GRANT SELECT ON sys.gv_$session TO tidemark;
