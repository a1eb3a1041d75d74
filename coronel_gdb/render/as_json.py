"""A report as JSON: the same content as the table, integers as integers."""

import json

from coronel_gdb.render.dialect import Dialect, command_text, writes
from coronel_gdb.report import Finding, Report


def render(report: Report) -> str:
    """One JSON object; the keys are stable."""
    return json.dumps(
        {
            "command": report.command,
            "exit_code": int(report.exit_code),
            "summary": report.summary,
            "checked": report.checked,
            "facts": dict(report.facts),
            "findings": [_finding(finding) for finding in report.findings],
            "tables": [
                {
                    "title": table.title,
                    "rows": [dict(zip(table.columns, row, strict=True)) for row in table.rows],
                }
                for table in report.tables
            ],
            "not_checked": [{"what": absent.what, "why": absent.why} for absent in report.not_checked],
        },
        ensure_ascii=False,
    )


def _finding(finding: Finding) -> dict[str, object]:
    """A finding; commands are in GDB's words, addresses and bytes beside them for every other program."""
    return {
        "code": finding.code,
        "title": finding.title,
        "subject": finding.subject,
        "lines": list(finding.lines),
        "details": list(finding.details),
        **finding.data,
        "repair": [
            {
                "address": write.address,
                "bytes": write.data.hex(),
                "commands": list(writes(write, Dialect.GDB)),
            }
            for write in finding.repair
        ],
        "repair_note": finding.repair_note,
        "next_commands": [command_text(command, Dialect.GDB) for command in finding.next_commands],
    }


def render_error(command: str, message: str) -> str:
    """What `--json` prints when a command could not check at all."""
    return json.dumps({"command": command, "exit_code": 2, "error": message}, ensure_ascii=False)
