-- Encrypted values that were changed are refused
-- flags: -max_len=200
SELECT fx.decrypt('fx1:1:' || encode($1, 'base64'), 'fuzz') IS NULL AS refused_or_forged
