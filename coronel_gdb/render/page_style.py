"""How the page of `as_html` looks, on a screen and on paper; fonts are those of the machine."""

STYLE = """
:root { --ink: #1b1f24; --dim: #5b6570; --line: #d5dae0; --soft: #f4f6f8; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; color: var(--ink); margin: 0 auto;
  padding: 28px 32px 48px;
         max-width: 1080px; background: #fff; -webkit-print-color-adjust: exact; print-color-adjust:
  exact; }
h1 { font-size: 23px; margin: 0 0 4px; }
h2 { font-size: 17px; margin: 34px 0 8px; padding-bottom: 4px; border-bottom: 2px solid var(--ink);
  }
h3 { font-size: 15px; margin: 22px 0 2px; }
p { margin: 2px 0 8px; } .dim { color: var(--dim); font-size: 13px; }
code, td, .mono, div.details { font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: 12.5px; }
.verdict { display: inline-block; padding: 2px 10px; border-radius: 3px; color: #fff; font-weight:
  600; font-size: 13px; }
.clean { background: #00704f; } .found { background: #b3261e; } .unknown { background: #8a5a00; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 1px 18px; margin: 12px 0;
  font-size: 13px; }
dt { color: var(--dim); } dd { margin: 0; overflow-wrap: anywhere; }
.finding { border: 1px solid var(--line); border-left: 5px solid #b3261e; border-radius: 3px;
  padding: 10px 14px;
             margin: 12px 0; }
.finding h3 { margin: 0 0 6px; break-after: avoid; } .finding .rows { break-inside: avoid; }
.finding summary { break-after: avoid; } .finding .code { color: #b3261e; }
.rows { display: grid; grid-template-columns: 72px 1fr; gap: 2px 12px; font-size: 13.5px; }
.rows b { color: var(--dim); font-weight: 600; } .rows div { overflow-wrap: anywhere; }
details { margin-top: 8px; } summary { cursor: pointer; color: var(--dim); font-size: 13px; }
div.details { background: var(--soft); margin: 4px 0; padding: 8px 10px; border-radius: 3px;
  font-size: 11.5px; line-height: 1.45; }
div.details div { white-space: pre-wrap; overflow-wrap: anywhere; padding-left: 9ch; text-indent: -9ch;
  break-inside: avoid; min-height: 1.45em; }
table { border-collapse: collapse; margin: 8px 0; } th, td { padding: 2px 14px 2px 0; text-align:
  left; vertical-align: top; }
th { border-bottom: 1px solid var(--ink); font-size: 12.5px; } td { border-bottom: 1px solid
  var(--line); }
td.n, th.n { text-align: right; }
figure { margin: 18px 0; break-inside: avoid; } figcaption { margin-bottom: 6px; } figcaption b {
  font-size: 15px; }
svg { width: 100%; height: auto; display: block; }
ul.absent { margin: 6px 0; padding-left: 20px; font-size: 13.5px; }
footer { margin-top: 40px; border-top: 1px solid var(--line); padding-top: 6px; }
@media print { body { padding: 0; max-width: none; font-size: 12px; } h2 { break-after: avoid; }
                 details > summary { list-style: none; } }
"""
