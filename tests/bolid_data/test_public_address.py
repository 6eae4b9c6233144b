"""What may be secret in an address is left out, and not a letter more."""

import pytest

from bolid_data.public_address import public_address


@pytest.mark.parametrize(
    ("url", "public", "left_out"),
    [
        ("https://a.example/1.jpg", "https://a.example/1.jpg", []),
        ("https://a.example/1.jpg?w=800&page=%2f%41", "https://a.example/1.jpg?w=800&page=%2f%41", []),
        ("https://a.example/1.jpg?", "https://a.example/1.jpg?", []),
        ("https://anna:pw@a.example/1.jpg", "https://a.example/1.jpg", ["user"]),
        ("https://anna@[2001:db8::1]:8080/1.jpg", "https://[2001:db8::1]:8080/1.jpg", ["user"]),
        ("https://a.example/@anna/1.jpg", "https://a.example/@anna/1.jpg", []),
        ("https://a.example/1.jpg?token=a", "https://a.example/1.jpg", ["token"]),
        ("https://a.example/1.jpg?w=8&sig=a&h=9", "https://a.example/1.jpg?w=8&h=9", ["sig"]),
        ("https://a.example/1.jpg?sig=a&h=9#top", "https://a.example/1.jpg?h=9#top", ["sig"]),
        ("https://a.example/1.jpg?Signature=a", "https://a.example/1.jpg", ["Signature"]),
        ("http://a.example/?X-Amz-Date=1&X-Amz-Signature=2", "http://a.example/", ["X-Amz-Date", "X-Amz-Signature"]),
        ("https://a.example/1?Policy=1&Key-Pair-Id=2&w=3", "https://a.example/1?w=3", ["Key-Pair-Id", "Policy"]),
        ("https://a.example/1.jpg?x-goog-credential=1", "https://a.example/1.jpg", ["x-goog-credential"]),
        ("https://a.example/1.jpg?access%5Ftoken=1", "https://a.example/1.jpg", ["access_token"]),
        ("https://a.example/1.jpg;jsessionid=AB?w=1", "https://a.example/1.jpg?w=1", ["jsessionid"]),
        ("https://a.example/1.jpg#access_token=1", "https://a.example/1.jpg", ["access_token"]),
        ("file:anna/token=1.jpg?sig=2", "file:anna/token=1.jpg?sig=2", []),
        ("http://[::1/1.jpg?token=1", "http://[::1/1.jpg?token=1", []),
    ],
)  # fmt: skip
def test_an_address(url: str, public: str, left_out: list[str]) -> None:
    assert public_address(url) == (public, left_out)
    assert public_address(public) == (public, []), "what is left is public"
