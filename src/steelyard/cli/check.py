"""`steelyard check`: does the user's own code keep the contract that ours does?"""

import sys
from typing import Annotated

import typer


def check(
    address: Annotated[str, typer.Argument(help="file.py, or file.py:function.", metavar="FILE.py[:FN]")],
    json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")] = False,
) -> int:
    """Run the contract suites on code of your own, and say what fails.

    A function is tried as what its arguments say: `inputs`, `outputs` or `shape` a model, `seed` a task, `registry` a
    plugin with what it adds, `outputs, targets` a metric.

    Example: steelyard check mymodule.py

    Exit status: 0 all hold, 2 something fails.
    """
    from steelyard.builtin import registry  # noqa: PLC0415  `--help` must load nothing that trains
    from steelyard.cli.streams import answer_alone  # noqa: PLC0415
    from steelyard.core.errors import InputError  # noqa: PLC0415
    from steelyard.core.userfile import functions_of, is_user_address, load_function  # noqa: PLC0415
    from steelyard.core.wire import dumps  # noqa: PLC0415
    from steelyard.testing.users import check_function, role_of  # noqa: PLC0415

    with answer_alone():
        if is_user_address(address):
            found = {address.rpartition(":")[2]: load_function(address, field="address")}
        else:
            found = functions_of(address, field="address")
        known = {name: function for name, function in found.items() if role_of(function) is not None}
        if not known:
            raise InputError(
                f"'address' {address!r} holds no function whose arguments say what it is: "
                "`inputs, outputs` a model, `seed` a task, `registry` a plugin, `outputs, targets` a metric.",
                field="address",
            )
        file = address.rpartition(":")[0] if is_user_address(address) else address
        findings = [
            each
            for name, function in known.items()
            for each in check_function(name, function, f"{file}:{name}", registry)
        ]
    passed = all(each.holds for each in findings)
    if json:
        told = [
            {"name": each.name, "role": each.role, "holds": each.holds, "why": each.why, "remarks": list(each.remarks)}
            for each in findings
        ]
        sys.stdout.write(dumps({"schema": 1, "holds": passed, "findings": told}) + "\n")
    else:
        for each in findings:
            sys.stdout.write(f"{each.name}, {each.role}: {each.why if each.why else 'holds'}\n")
            sys.stdout.write("".join(f"  {remark}\n" for remark in each.remarks))
    return 0 if passed else 2
