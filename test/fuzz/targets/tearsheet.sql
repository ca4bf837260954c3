-- The page of a backtest: what comes from outside stays text
-- flags: -max_len=1000
SELECT position('<script' IN lower(page)) = 0 AS no_script,
       page ~ '^<!DOCTYPE html>' AND page ~ '</html>\s*$' AS whole_page
  FROM (SELECT fx.tearsheet(fuzz.json(substr($1, 9), '{profit,commission,swap,closedAt,executedAt,symbol,type,quantity,profit}'), 1e6,
                            encode(substr($1, 1, 8), 'escape') || '<script>"' || encode(substr($1, 1, 8), 'escape')) AS page OFFSET 0) AS s
