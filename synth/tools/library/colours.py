"""Colours in other spellings."""

import colorsys
from typing import Annotated

from pydantic import Field

Channel = Annotated[int, Field(ge=0, le=255)]
Hex = Annotated[str, Field(description="A colour as #rrggbb", pattern=r"^#?[0-9a-fA-F]{6}$")]


def hex_to_rgb(colour: Hex) -> dict[str, int]:
    """The red, green and blue of a colour, each from 0 to 255."""
    digits = colour.removeprefix("#")
    return {name: int(digits[at : at + 2], 16) for name, at in (("red", 0), ("green", 2), ("blue", 4))}


def rgb_to_hex(red: Channel, green: Channel, blue: Channel) -> dict[str, str]:
    """A colour as #rrggbb, from its red, green and blue."""
    return {"colour": f"#{red:02x}{green:02x}{blue:02x}"}


def hex_to_hsl(colour: Hex) -> dict[str, int]:
    """The hue of a colour in degrees, and its saturation and lightness in percent."""
    rgb = hex_to_rgb(colour)
    hue, lightness, saturation = colorsys.rgb_to_hls(*(one / 255 for one in rgb.values()))
    return {"hue": round(hue * 360), "saturation": round(saturation * 100), "lightness": round(lightness * 100)}


TOOLS = {
    hex_to_rgb: ("What are the red, green and blue parts of #1e90ff?", {"colour": "#1e90ff"}),
    rgb_to_hex: ("How do I write red 250, green 128, blue 114 in CSS?", {"red": 250, "green": 128, "blue": 114}),
    hex_to_hsl: ("What hue does the colour #2e8b57 have?", {"colour": "#2e8b57"}),
}
