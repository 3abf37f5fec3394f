"""Principals and their permissions."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from hookseal.api.problems import Problem


@dataclass(frozen=True, slots=True)
class Principal:
    """The holder of a key.

    Attributes:
        customer_id: The tenant; None for the operator's admin key.
        scopes: Of an API key; the admin key has no limits.
        key_id: Of the API key; empty for the admin key.
    """

    customer_id: str | None
    scopes: tuple[str, ...] = ()
    key_id: str = ""

    @property
    def is_admin(self) -> bool:
        return self.customer_id is None

    def may(self, scope: str) -> bool:
        return self.is_admin or scope in self.scopes

    def check_scope(self, scope: str) -> None:
        """Check that the key has the scope.

        Raises:
            Problem: 403 `scope_missing`.
        """
        if not self.may(scope):
            raise Problem(
                HTTPStatus.FORBIDDEN,
                "scope_missing",
                f"This API key lacks the scope {scope}; use one that has it.",
                field=scope,
            )

    def check_admin(self) -> None:
        """Check that the principal is the operator.

        Raises:
            Problem: 403 `admin_only`.
        """
        if not self.is_admin:
            raise Problem(
                HTTPStatus.FORBIDDEN, "admin_only", "Only the operator's admin key may do this."
            )

    def check_customer(self, customer_id: str) -> None:
        """Check that the principal may access the tenant.

        Raises:
            Problem: 404 `unknown_tenant`, as for a tenant that does not exist.
        """
        if not self.is_admin and self.customer_id != customer_id:
            raise unknown_tenant()


ADMIN = Principal(None)


def unknown_tenant(field: str | None = None) -> Problem:
    """Return the problem for a tenant that does not exist or is not theirs.

    Args:
        field: Where it was named, if not in the path.
    """
    return Problem(
        HTTPStatus.NOT_FOUND,
        "unknown_tenant",
        "There is no tenant of this customer id.",
        field=field,
    )
