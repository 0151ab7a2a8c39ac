"""Chat templates that nobody has published: headings, ends and control tokens are drawn at random."""

from dataclasses import dataclass

from hypothesis import strategies as st

from tests.chat import formats

CONTROLS = ("<ctl_1>", "<ctl_2>", "<|three|>", "[FOUR]", "<|role_5|>")
_control = st.sampled_from(CONTROLS)
_maybe = st.one_of(st.just(""), _control)
_space = st.sampled_from(["", "\n", " ", "\n\n"])


@dataclass(frozen=True)
class Format:
    """A conversation's parts as they are written. `heading` is what stands before a user's words, `lead` before all."""

    lead: str
    system: tuple[str, str]
    heading: str
    user_end: str
    answer: str
    answer_end: str
    last_is_ended: bool
    default: str | None = "Be safe."

    @property
    def template(self) -> str:
        """As Jinja, with the default system prompt, if any."""
        before, after = map(repr, self.system)
        start = f"{{{{ {self.lead!r} }}}}"
        if self.default is not None:
            start += (
                "{% if messages[0].role == 'system' %}{% set said = messages[0].content %}"
                f"{{% set messages = messages[1:] %}}{{% else %}}{{% set said = {self.default!r} %}}{{% endif %}}"
                f"{{{{ {before} + said + {after} }}}}"
            )
        end = repr(self.answer_end)
        ended = end if self.last_is_ended else f"({end} if not loop.last or add_generation_prompt else '')"
        turns = (
            f"{{% if m.role == 'user' %}}{{{{ {self.heading!r} + m.content + {self.user_end!r} }}}}"
            f"{{% else %}}{{{{ {self.answer!r} + m.content + {ended} }}}}{{% endif %}}"
        )
        template = formats.loop(turns, start, f"{{{{ {self.answer!r} }}}}")
        formats.CONTROLS[template] = " ".join(CONTROLS)
        return template


@st.composite
def drawn(draw: st.DrawFn) -> Format:
    """One whose turns can be told apart: a user's heading has a word or a token, and so has an answer's; and a token
    that ends a turn neither opens the system prompt nor stands right before a heading of words alone."""
    opener = draw(_maybe)
    role = draw(st.sampled_from(["User", "user", "Q", ""] if opener else ["User", "user", "Q"]))
    after_role = draw(st.sampled_from(["\n", ": ", "|", "\n\n"])) if role else draw(_space)
    answer = draw(st.sampled_from([opener, draw(_maybe)])) + draw(st.sampled_from(["Assistant\n", "A: ", "model\n\n"]))
    end = draw(st.one_of(_maybe, st.just("</s>")))
    user_end = draw(_space) + draw(st.sampled_from([end, "", draw(_maybe)])) + draw(_space)
    answer_end = draw(_space) + end + draw(st.sampled_from(["\n", " "]))
    user_end += "\n" if user_end.endswith(("]", ">")) else ""
    ends = (end, user_end.strip())
    system = draw(_maybe.filter(lambda token: not token or token not in ends))
    system += draw(st.sampled_from(["System\n", "S: ", "", "system\n\n"]))
    return Format(
        lead=draw(st.sampled_from(["", "<s>"])),
        system=(system, draw(st.sampled_from([answer_end, user_end, "\n\n"]))),
        heading=opener + role + after_role,
        user_end=user_end,
        answer=answer,
        answer_end=answer_end,
        last_is_ended=draw(st.booleans()),
    )
