"""Cases about names and options."""

from __future__ import annotations

import re
from typing import Any

from wsext.errors import OptionError
from wsext.sdk.options import OptionSet
from wsext.testing.cases_base import Cases, edges, skip

__all__ = ["OptionCases"]


class OptionCases(Cases):
    """What an operator may rely on."""

    def test_name_is_a_token(self) -> None:
        """The name is a token of RFC 6455 §9.1, and not an empty one."""
        name = self.extension.name
        assert re.fullmatch(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+", name), f"{name!r} is not a token"

    def test_it_is_described(self) -> None:
        """The class and every option have a description for `wsext ext show`."""
        own = (self.extension.__doc__ or "").strip()
        assert own, f"{self.extension.__name__} has no docstring"
        for field in self.fields():
            assert field.description, (
                f"option {field.name} has no description: use local() or wire()"
            )

    def test_it_can_be_made_with_its_defaults(self) -> None:
        """It can be installed without options, so that `wsext serve` can turn it on."""
        try:
            self.make()
        except OptionError as error:
            raise AssertionError(
                f"it needs an option to be made: {error}. Give it a default, or set `options`"
            ) from error

    def test_an_unknown_option_is_refused(self) -> None:
        """An unknown option is an OptionError that names the nearest one."""
        fields = self.fields()
        wrong = f"{fields[0].name}x" if fields else "nonsense"
        error = self._refusal({wrong: 1})
        assert error is not None, f"the option {wrong!r} was accepted"
        assert error.owner == self.extension.name, f"the error names {error.owner!r} as owner"
        if fields:
            assert error.suggestion == fields[0].name, f"no suggestion for {wrong!r}"

    def test_options_outside_their_bounds_are_refused(self) -> None:
        """A number outside its bounds is an OptionError that names the field."""
        bounded = [field for field in self.fields() if edges(field.bounds)]
        if not bounded:
            skip("it has no bounded numbers among its options")
        for field in bounded:
            low, high = edges(field.bounds)
            for value in (low - 1, high + 1):
                error = self._refusal({field.name: value})
                assert error is not None, f"{field.name}={value} was accepted ({field.bounds})"
                assert error.field == field.name, f"for {field.name} it names {error.field}"

    def _refusal(self, options: dict[str, Any]) -> OptionError | None:
        try:
            self.make(**options)
        except OptionError as error:
            return error
        return None

    def test_an_instance_does_not_change(self) -> None:
        """Its options are an OptionSet: frozen, since all connections share the instance."""
        options = self.make().options
        assert isinstance(options, OptionSet), f"options is a {type(options).__name__}"
        for field in self.fields():
            try:
                setattr(options, field.name, field.default)
            except AttributeError:
                continue
            raise AssertionError(f"the option {field.name} can be changed after it was made")

    def test_the_memory_estimate_is_a_number(self) -> None:
        """`memory_estimate()` gives bytes per connection, or None."""
        estimate = self.make().memory_estimate()
        assert estimate is None or (type(estimate) is int and estimate >= 0), repr(estimate)
