
-- tear-sheet: style
--
-- Blue against orange is told apart by readers with any colour blindness, and
-- the numbers are always there.  A page is XML too: no < and no & in here.

CREATE FUNCTION tearsheet_style()
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT $css$
:root{--ink:#17222e;--soft:#566473;--rule:#e3e8ed;--paper:#fff;--back:#f3f5f7;--gain:#1f5fa8;--loss:#c2570c;--shade:#f6c9a4}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--back);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-variant-numeric:tabular-nums}
header,main{max-width:1160px;margin:0 auto;padding:0 20px}
header{padding-top:32px}
.kind{margin:0;color:var(--soft);font-size:12px;font-weight:600;letter-spacing:.08em;text-transform:uppercase}
h1{margin:2px 0 12px;font-size:28px;line-height:1.25;font-weight:650;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{margin:0 0 4px;font-size:17px;line-height:1.3;font-weight:650}
h3{margin:18px 0 4px;font-size:13px;font-weight:600;color:var(--soft)}
bdi{overflow-wrap:anywhere}
dl{margin:0}dd{margin:0}
.facts{display:flex;flex-wrap:wrap;gap:6px 28px}
.facts dt,.kpi span{color:var(--soft);font-size:12px}
.facts dd{font-size:14px;font-weight:550}
.facts div{min-width:0;max-width:100%}
.kpi{display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:12px;list-style:none;margin:24px 0 16px;padding:0}
.kpi li{background:var(--paper);border:1px solid var(--rule);border-radius:10px;padding:12px 16px;min-width:0}
.kpi span,.kpi strong,.kpi small{display:block;overflow-wrap:anywhere}
.kpi strong{font-size:23px;line-height:1.3;font-weight:650;letter-spacing:-.01em}
.kpi small{color:var(--soft);font-size:12px}
.neg{color:#a8480a}
.cards{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:16px;padding-bottom:40px}
.card{background:var(--paper);border:1px solid var(--rule);border-radius:10px;padding:18px 20px;min-width:0}
.wide{grid-column:1/-1}
.note,.empty{margin:0 0 10px;color:var(--soft);font-size:13px}
.empty{padding:12px 0}
.plot{position:relative;height:190px;margin:18px 10px 30px 62px}
.tall{height:300px;margin-top:28px}
.plot svg{display:block;width:100%;height:100%;overflow:visible}
.plot path,.plot polyline,.plot polygon{fill:none;vector-effect:non-scaling-stroke;stroke-linejoin:round}
.plot .grid{stroke:var(--rule);stroke-width:1}
.plot .zero,.bar .zero{stroke:#8a97a5;stroke-width:1;vector-effect:non-scaling-stroke}
.plot .start{stroke:#6d7a88;stroke-width:1;stroke-dasharray:5 4}
.plot .line{stroke:var(--gain);stroke-width:1.7}
.plot .under{fill:#e9a673;fill-opacity:.55;stroke:var(--loss);stroke-width:1}
.shade{fill:var(--shade);fill-opacity:.4}
.gain{fill:var(--gain);background:var(--gain)}
.loss{fill:var(--loss);background:var(--loss)}
.even{fill:#8a97a5;background:#8a97a5}
.plot i{position:absolute;font-style:normal;font-size:11.5px;line-height:14px;color:var(--soft);white-space:nowrap}
.plot .y{right:100%;margin:-7px 8px 0 0}
.plot .x{top:100%;margin-top:7px;transform:translateX(-50%)}
.plot .first{transform:none}
.plot .last{transform:translateX(-100%)}
.plot .rank{top:-17px;transform:translateX(-50%);color:#a8480a;font-weight:650}
.scroll{position:relative;overflow-x:auto;max-width:100%}
table{border-collapse:collapse;width:100%;font-size:13px}
th,td{padding:5px 8px;border-bottom:1px solid var(--rule);text-align:right;white-space:nowrap}
th{font-weight:500}
thead th{color:var(--soft);font-size:12px;vertical-align:bottom}
th:first-child,caption,.listed th:nth-child(-n+4),.listed td:nth-child(-n+4){text-align:left}
tbody tr:last-child>*{border-bottom:0}
.costs tbody tr:last-child>*{border-top:1px solid #8a97a5;font-weight:650}
.bar{display:block;width:100%;height:12px}
.wide .groups td:nth-child(4){width:34%}
.bar{min-width:90px}
.card:not(.wide) .bar{min-width:48px}
.card:not(.wide) .groups td:nth-child(4){width:20%}
.card:not(.wide) .costs td:nth-child(4){width:auto}
.card:not(.wide) .costs td:nth-child(3){width:34%}
.card:not(.wide) .groups th,.card:not(.wide) .groups td{padding:5px 6px}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.heat td,.heat th{padding:6px 5px;text-align:center;border:2px solid var(--paper)}
.heat td{min-width:34px;border-radius:6px}
.heat th:first-child{text-align:left;padding-left:0;color:var(--soft)}
.heat td small{display:block;font-size:10.5px;line-height:1.1;opacity:.85}
.heat .total{font-weight:650}
.hours td,.hours th{padding:5px 1px;font-size:11.5px;min-width:30px}
.h0{background:#eef1f4}
.p1{background:#dde9f5}.p2{background:#b3cfea}.p3{background:#6fa6d8}.p4{background:#1f5fa8;color:#fff}
.n1{background:#fbe6d6}.n2{background:#f5c39b}.n3{background:#e7934f}.n4{background:#b04a06;color:#fff}
.shares{display:flex;height:10px;gap:2px;margin:4px 0 8px}
.shares span{flex:1 1 0;min-width:2px;border-radius:2px}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;list-style:none;margin:0;padding:0;font-size:13px}
.legend span{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:6px}
details{margin-top:10px;border-top:1px solid var(--rule);padding-top:8px;font-size:13px}
summary{cursor:pointer;color:var(--gain)}
.columns{columns:3 300px;column-gap:32px}
.columns table{break-inside:avoid;margin-bottom:18px}
caption{padding:0 0 4px;font-weight:650}
.columns th,.columns td{padding:4px 0}
.columns th{white-space:normal;padding-right:10px}
pre{margin:6px 0 0;padding:12px 14px;background:var(--back);border-radius:8px;font:12.5px/1.5 ui-monospace,"SF Mono",Menlo,Consolas,monospace;white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate}
.definitions{columns:2 320px;column-gap:32px;font-size:13px}
.definitions div{break-inside:avoid;margin-bottom:10px}
.definitions dt{font-weight:650}
.definitions dd{color:var(--soft)}
@media (max-width:820px){.cards{grid-template-columns:minmax(0,1fr)}.kpi{grid-template-columns:repeat(2,minmax(0,1fr))}}
@media (max-width:560px){header,main{padding-left:12px;padding-right:12px}header{padding-top:20px}h1{font-size:22px}.card{padding:14px 12px}.kpi strong{font-size:19px}.kpi li{padding:10px 12px}.tall{height:220px}.plot{margin-left:52px}.plot .x:nth-of-type(even){display:none}}
@page{margin:12mm}
@media print{body{background:#fff;font-size:12px;-webkit-print-color-adjust:exact;print-color-adjust:exact}header,main{max-width:none;padding:0}.card,.kpi li{border-color:#c9d1d9}.plot,tr,li{break-inside:avoid}h2,h3{break-after:avoid}.scroll{overflow:visible}summary{color:var(--soft);list-style:none}details::details-content{display:block;content-visibility:visible;block-size:auto}table{font-size:11px}.heat td,.heat th{padding:3px 1px;min-width:0;font-size:10px}.hours td,.hours th{font-size:8px}.heat td small{font-size:7px}.kpi{grid-template-columns:repeat(4,minmax(0,1fr));margin:14px 0}.tall{height:210px}.plot{height:150px}.tall.plot{height:210px}.plot .rank{top:2px}.cards{display:block}.card{margin-bottom:12px}}
$css$
$$;

COMMENT ON FUNCTION tearsheet_style()
    IS 'the style sheet of a tear-sheet';
