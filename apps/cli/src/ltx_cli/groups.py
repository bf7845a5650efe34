"""Options that several commands have, as one argument of each.

@dataclass(frozen=True)
class SizeOptions(OptionGroup):
    panel = "Size"
    height: Annotated[int | None, typer.Option(help="Pixels.")] = None
    width: Annotated[int | None, typer.Option(help="Pixels.")] = None

@grouped_options
def paint(prompt: Prompt, size: SizeOptions) -> None: ...
"""

import copy
import inspect
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_origin

T = TypeVar("T")


class OptionGroup:
    """Base of frozen dataclasses whose fields are options, each with a default."""

    panel: ClassVar[str]
    """The heading of these options in the help."""


class Without:
    """Fields of a group that are no options of this command: `Annotated[SizeOptions, Without("width")]`."""

    def __init__(self, *names: str) -> None:
        self.names = names


def grouped_options(command: Callable[..., T]) -> Callable[..., T]:
    """A command whose options are the function's own and, in place of its arguments whose type is an option
    group, one for each field of that."""
    parameters: list[inspect.Parameter] = []
    groups: dict[str, tuple[type[OptionGroup], list[str]]] = {}
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        group, *metadata = _parts(parameter.annotation)
        if isinstance(group, type) and issubclass(group, OptionGroup):
            without = {name for entry in metadata if isinstance(entry, Without) for name in entry.names}
            options = [option for option in _options(group) if option.name not in without]
            groups[parameter.name] = group, [option.name for option in options]
            parameters += options
        else:
            parameters.append(parameter)

    def run(**values: Any) -> T:
        made = {
            argument: group(**{name: values.pop(name) for name in names})
            for argument, (group, names) in groups.items()
        }
        return command(**values, **made)

    keyword_only = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    run.__signature__ = inspect.Signature(keyword_only)  # type: ignore[attr-defined]
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run


def _parts(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) is Annotated else (annotation,)


def _options(group: type[OptionGroup]) -> Iterator[inspect.Parameter]:
    """One parameter for each field, under the group's heading."""
    parameters = inspect.signature(group, eval_str=True).parameters
    for field in fields(group):  # type: ignore[arg-type]
        parameter = parameters[field.name]
        value, option = _parts(parameter.annotation)
        option = copy.copy(option)
        option.rich_help_panel = group.panel
        yield parameter.replace(annotation=Annotated[value, option])


def given(**values: Any) -> dict[str, Any]:
    """Those that are not None: the others are left to the pipeline."""
    return {name: value for name, value in values.items() if value is not None}


def flags(*names: str) -> str:
    """Names of fields as the options that they come from."""
    return ", ".join("--" + name.replace("_", "-") for name in names)
