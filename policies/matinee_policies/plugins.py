"""Classes of the user's own, named `module:Class` in the user's own config.

Nothing is imported but what a config names, and naming a module runs its code: take configs from
people you trust. Modules are found among the installed packages first, then in the current folder.
"""

import hashlib
import importlib
import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from matinee_policies.config import Config
from matinee_policies.errors import ConfigError, MatineeError, SnapshotError
from matinee_policies.plugin_guard import guard, told
from matinee_policies.policy import Policy
from matinee_policies.snapshot import Snapshot

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_VERBS = ("decide", "propensities", "learn", "snapshot", "from_snapshot")


def is_plugin(name: object) -> bool:
    """Whether a name is meant to be `module:Class` rather than a kind of ours.

    Example:
        >>> is_plugin("shop.rerank:Fresh"), is_plugin("lin_ucb")
        (True, False)
    """
    return isinstance(name, str) and ":" in name


def load_class(name: str) -> type[Any]:
    """Import the class that a config names.

    Args:
        name: `module:Class`; the module's name may be dotted.

    Raises:
        ConfigError: on another form, or if the module cannot be imported or has no such class.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(f"a class must be named as module:Class, got {name!r}")
    module_name, _, class_name = name.partition(":")
    module = _import(module_name, name)
    found = getattr(module, class_name, None)
    if not inspect.isclass(found):
        classes = [key for key, value in vars(module).items() if inspect.isclass(value)]
        own = [key for key in classes if vars(module)[key].__module__ == module_name]
        there = f"its classes are {', '.join(own)}" if own else "it defines no class"
        raise ConfigError(f"module {module_name} has no class {class_name!r}; {there}")
    return found


def module_digests(names: Iterable[str]) -> dict[str, str]:
    """What the user's own code was: a digest of the file of each module that a config names.

    Modules that those import in turn are not followed.

    Args:
        names: kinds and objects of a config; those that are not `module:Class` are passed over.

    Returns:
        SHA-256, 64 hex digits, by the module's name, in alphabetical order.

    Raises:
        ConfigError: if a class is not there, or its module has no file that can be read.
    """
    digests = {}
    for name in sorted({name for name in names if is_plugin(name)}):
        load_class(name)
        module = name.partition(":")[0]
        file = getattr(sys.modules[module], "__file__", None)
        if file is None:
            raise ConfigError(f"{name}: module {module} must be read from a file, got none")
        try:
            digests[module] = hashlib.sha256(Path(file).read_bytes()).hexdigest()
        except OSError as error:
            raise ConfigError(f"{name}: {file} cannot be read: {error.strerror}") from None
    return digests


def policy_class(name: str) -> type[Policy]:
    """The policy class that a config names; see `build_custom_policy` for what it must have.

    Raises:
        ConfigError: naming what is missing.
    """
    found = load_class(name)
    missing = [verb for verb in _VERBS if not callable(getattr(found, verb, None))]
    missing += [word for word in ("name", "learns") if not hasattr(found, word)]
    if missing:
        raise ConfigError(f"policy {name} must have {', '.join(missing)}; see Policy")
    config_type = getattr(found, "config_type", None)
    if not (inspect.isclass(config_type) and issubclass(config_type, Config)):
        raise ConfigError(
            f"config_type of policy {name} must be a subclass of Config, got {config_type!r}"
        )
    return found


def build_custom_policy(name: str, config: Mapping[str, Any], *, dimension: int) -> Policy:
    """A new policy of the user's own class.

    The class follows `Policy` and has a class attribute `config_type`, a subclass of `Config`. It
    is called as `Class(config)`, or `Class(config, dimension=...)` if it takes a `dimension`. What
    it does later is guarded, see `plugin_guard.guard`.

    Args:
        name: `module:Class`.
        config: settings, as `config_type.from_json` takes them.
        dimension: of the features.

    Raises:
        ConfigError: if the class is missing or incomplete, or refuses its settings.
    """
    found: Any = policy_class(name)
    try:
        settings = found.config_type.from_json(config)
        takes_dimension = "dimension" in inspect.signature(found).parameters
        policy = found(settings, dimension=dimension) if takes_dimension else found(settings)
        return guard(policy, name)
    except MatineeError:
        raise
    except Exception as error:
        raise ConfigError(f"policy {name} cannot be built: {told(error)}") from error


def restore_custom_policy(name: str, snapshot: Snapshot) -> Policy:
    """The policy of the user's own class that gave a snapshot.

    Args:
        name: `module:Class`.
        snapshot: of that class.

    Raises:
        ConfigError: if the class is missing or incomplete.
        SnapshotError: if it does not take the snapshot.
    """
    found = policy_class(name)
    try:
        return guard(found.from_snapshot(snapshot), name)
    except MatineeError:
        raise
    except Exception as error:
        raise SnapshotError(f"policy {name} cannot be restored: {told(error)}") from error


def _import(module: str, name: str) -> Any:
    # Last, so that a file of the current folder never stands in for an installed module.
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            raise ConfigError(
                f"{name}: there is no module {error.name!r} among the installed packages "
                "or in the current folder"
            ) from None
        raise ConfigError(f"{name}: cannot be imported: {told(error)}") from error
    except Exception as error:
        raise ConfigError(f"{name}: cannot be imported: {told(error)}") from error
