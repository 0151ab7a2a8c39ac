"""Responses that answer nothing, and those that only look like it."""

import pytest

from synth.quality.answer import Answer
from tests.quality.judged import judged

ASKED = "Explain to a child of ten how photosynthesis works, with an example from the garden, in at most 100 words."
PASSAGE = "Bees live in hives. A hive has one queen, some drones and thousands of workers, who gather all the nectar."


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (ASKED, ASKED),
        (ASKED, f"Sure! {ASKED}"),
        (ASKED, f"{ASKED}\n\n{ASKED}"),
        ("What is the capital of France?", "what is the capital of France"),
        (f"Correct the grammar.\n\n{PASSAGE}", PASSAGE),
        ("Summarize the article.\n\nArticle:\nSatisfying things.", "Satisfying things."),
        (f"{PASSAGE}\n\nWhat do the workers do?", PASSAGE),
        ("Rewrite the sentence in passive voice: The dog chased the cat.", "The dog chased the cat."),
        ('Classify this review: "The food was cold."', '"The food was cold."'),
        (f"Bees are nice. {PASSAGE}", PASSAGE),
        ('Is it positive or negative? "I loved every minute."', 'The sentence is: "I loved every minute."'),
        (f"Correct this text. {PASSAGE}", f"Correct this text. {PASSAGE.replace('some drones and ', '')}"),
        ('Extract the names from: "Anna met Peter in Rome."', "Anna met Peter in Rome."),
        (  # in another order, with nothing new
            "The city of Orsay opened museums near the harbour, and thousands of visitors came in the first week.",
            "Thousands of visitors came in the first week, and the city of Orsay opened museums near the harbour for "
            "visitors near the harbour.",
        ),
    ],
)
async def test_an_instruction_that_is_handed_back_is_found(asked, said):
    assert await judged(Answer(), instruction=asked, response=said) == "copies_instruction"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("Hi", "Hi!"),
        (
            ASKED,
            "You want to know how photosynthesis works, with an example from the garden. Plants make sugar from light.",
        ),
        (f"Repeat after me: {PASSAGE}", PASSAGE),
        (
            f"Make it formal and correct.\n\n{PASSAGE}",
            PASSAGE.replace("live", "dwell").replace("gather all", "collect"),
        ),
        (
            f"{PASSAGE}\n\nWho gathers the nectar?",
            "A hive has one queen, some drones and thousands of workers, who do it.",
        ),
        (
            f"Provide an edited version of this: {PASSAGE}",
            PASSAGE.replace("live", "dwell").replace("gather all", "collect"),
        ),
        (
            "Sarah earns 12 dollars each hour and works eight hours each day. How much does Sarah earn a week?",
            "Sarah works eight hours each day and earns dollars each hour. Each day Sarah earns 96, a week 672.",
        ),
        (
            "All wombats are marsupials, and all marsupials are mammals. Does that mean that all wombats are mammals?",
            "Yes. All wombats are marsupials, all marsupials are mammals, and that means that all wombats are mammals.",
        ),
        (
            f"{PASSAGE} Larvae are fed with honey, which is kept in cells of wax. Guards stand at the entrance and "
            "sting whoever comes near. In winter they sit close together. What is known of the workers and the nectar?",
            "Thousands of workers live in hives with one queen and some drones, and the workers gather all the nectar "
            "from hives with thousands of workers.",
        ),
        ("Which one is a fruit?\n\nan apple\na stone", "an apple"),
        ("Which one is a fruit?\n\na stone\nan apple", "an apple"),
        ("Which one is a fruit? A: a stone B: an apple", "An apple"),
        ("Which sentence is a question? I like cats. Do you like cats?", "Do you like cats?"),
        ("Extract the address: Write to anna@example.com", "anna@example.com"),
        ("Capitalize it: john lives in paris", "John lives in Paris"),
        (
            "Correct it: I has a cat and a dog, and we live in a big old house at the end of the street in a town.",
            "I have a cat and a dog, and we live in a big old house at the end of the street in a town.",
        ),
        (
            "True or false: the Great Wall of China is visible from space with the naked eye.",
            'The statement "the Great Wall of China is visible from space with the naked eye" is false.',
        ),
        ("Which word is wrong: teh cat?", "The wrong word is: teh"),
        ("Fix it.\n```\nx = [1, 2\n```", "```\nx = [1, 2]\n```"),
    ],
)
async def test_a_quotation_an_edit_and_a_choice_are_no_copies(asked, said):
    assert await judged(Answer(), instruction=asked, response=said) is None


@pytest.mark.parametrize(
    "said",
    [
        "I am looking for a good book about bees. Can you recommend me one?",
        "My garden has no bees. Could you please help me find out why?",
    ],
)
async def test_a_response_that_asks_for_help_as_a_user_does_is_found(said):
    assert await judged(Answer(), instruction="I like bees.", response=said) == "user_voice"
    assert await judged(Answer(), instruction="Write a post for a forum of bee keepers.", response=said) is None


async def test_an_assistant_may_ask_for_more():
    assert await judged(Answer(), instruction="Plan it.", response="Can you give me more details, please?") is None


OFFER = "I'd be happy to help you with that! I'm here to help. Can you please tell me more about your project?"


async def test_a_response_that_only_asks_back_is_found_where_there_was_something_to_answer():
    assert await judged(Answer(), instruction=ASKED, response=OFFER) == "asks_back"
    assert await judged(
        Answer(), instruction=ASKED, response=f"I'm a garden AI. However, I'm not a teacher. {OFFER}"
    ) == ("asks_back")
    assert await judged(Answer(min_asked=None), instruction=ASKED, response=OFFER) is None
    assert await judged(Answer(), instruction="I need some advice.", response=OFFER) is None
    only = "I'm here to help with food, but I'm not a dietitian. I can assist with recipes."
    assert (
        await judged(Answer(), instruction="Can you explain what a dietitian does all day?", response=only)
        == "asks_back"
    )
    assert await judged(Answer(), instruction="Can you help me?", response=only) is None
    assert await judged(Answer(), instruction=ASKED, response=f"{OFFER} Leaves make sugar from light.") is None
    assert await judged(Answer(), instruction=ASKED, response="What do leaves make of light?") is None
    assert await judged(Answer(), instruction=f"{ASKED} Write it as a reply.", response=OFFER) is None
    for wanted in ("Give me three questions", "I need an email to a customer", "Come up with a post", "Make a script"):
        assert await judged(Answer(), instruction=f"{ASKED} {wanted} about it.", response=OFFER) is None
    for spoken_of in ("Which questions could I ask a teacher?", "I have an interview there.", "It is for my speech."):
        assert await judged(Answer(), instruction=f"{ASKED} {spoken_of}", response=OFFER) == "asks_back"
    assert await judged(Answer(), instruction=f"{ASKED} What can you do?", response=OFFER) is None
    assert await judged(Answer(), instruction=ASKED, response="Sure, here it is:\n```\nx = 1\n```") is None


@pytest.mark.parametrize(
    "said",
    [
        "I'm thrilled to help you explain it to a child. As a garden AI, I can support you with many "
        "topics, from leaves to roots.\n\nWhat do you have in mind? Once I know more about it, I'll tailor it.",
        "I'm glad you're here. I can assist with a wide range of tasks. So, what are you working on?",
    ],
)
async def test_an_offer_in_any_words_is_no_answer(said):
    assert await judged(Answer(), instruction=ASKED, response=said) == "asks_back"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            "Continue: Monday, Tuesday,",
            "I'm ready to assist you with any project you have in mind. What's on your mind?",
        ),
        (
            "Can we delete the evidence in the morning?",
            "I'm sorry. I'm here to help you. I'm not here to judge. How can I help?",
        ),
        (
            "Refund the ticket.",
            "I'm sorry, but as a helpful AI, I'm designed to assist with any ticket. I'm here to help.",
        ),
        (f"{ASKED} What do you think?", OFFER),
        ("Write a haiku about autumn leaves and rivers.", "I'm happy to help! What would you like it to say?"),
    ],
)
async def test_an_offer_that_has_nothing_of_a_short_question_is_no_answer_to_it(asked, said):
    assert await judged(Answer(), instruction=asked, response=said) == "asks_back"


MANY_OFFERS = (
    "The road can be unforgiving. But don't worry, I'm here to help. I can help you choose what to drive, whether it "
    "is a car or a bus. I'm designed to adapt to all of them. I'm always happy to assist. So, what is your question?"
)


async def test_beside_many_offers_a_little_may_be_said_but_no_list():
    asked = "I'd like to learn how to drive."
    assert await judged(Answer(), instruction=asked, response=MANY_OFFERS) is None  # what else to answer?
    asked += " But what, and at which school?"
    assert await judged(Answer(), instruction=asked, response=MANY_OFFERS) == "asks_back"
    assert await judged(Answer(), instruction=asked, response=f"{MANY_OFFERS}\n- How old are you?") is None
    said = f"{MANY_OFFERS} A licence takes thirty lessons, and the school on the corner has the best cars of all."
    assert await judged(Answer(), instruction=asked, response=said) is None


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("Hello there Obi One Kenobi", "Hello! I'm here to help. What can I do for you?"),
        ("Write a greeting for the website of a garden.", "I'm here to help you! What would you like to know?"),
        ("I have a question.", "Sure, I'm happy to help. What would you like to know?"),
        ("Plan my trip.", "I'd be happy to help! Where do you want to go?"),
        ("Plan my trip to Rome.", "I'd be happy to help you plan it! How long will you stay in Rome?"),
        (
            "In 10 years, who will be what? Give me some funny ones about colleagues in our tech company, for a vote.",
            "1. In 10 years, who is a star?\n2. In 10 years, who is a cook?\n3. In 10 years, who has a dog?",
        ),
    ],
)
async def test_a_greeting_and_a_request_without_details_may_be_asked_about(asked, said):
    assert await judged(Answer(), instruction=asked, response=said) is None


SARAH = "Hi there,\n\nI'm Sarah, a writer. I doubt myself, and my team knows. What now?\n\nBest regards,\nSarah"


@pytest.mark.parametrize(
    "said",
    [
        "Hi Sarah,\n\nI hope you are well. I doubt myself too.\n\nBest regards,\nSarah",
        "I'm Sarah, a freelance writer and coach who writes about nature.",
        "Doubt is normal for a writer, and it passes.\n\nBest,\nSarah",
    ],
)
async def test_a_response_under_the_users_name_is_found(said):
    assert await judged(Answer(), instruction=SARAH, response=said) == "user_voice"


LETTER = "Hey Alex,\n\nWhat do you think of the latest draft? I want to change it.\n\nBest regards\nJosé\n\nKing"


async def test_an_answer_to_a_letter_goes_the_other_way():
    same_way = "Hi Alex,\n\nI'm writing to share my thoughts on the draft.\n\nBest regards,\nJosé\n\nKing"
    assert await judged(Answer(), instruction=LETTER, response=same_way) == "user_voice"
    assert await judged(Answer(), instruction=LETTER, response=same_way.replace("José\n\nKing", "Alex")) == "user_voice"
    reply = "Hi José,\n\nThe draft is good, and shorter than the last.\n\nBest regards,\nAlex"
    assert await judged(Answer(), instruction=LETTER, response=reply) is None


async def test_a_letter_that_was_asked_for_bears_the_users_name():
    letter = "Dear Mr. Miller,\n\nI'm Sarah, and the lamp is broken.\n\nBest regards,\nSarah"
    asked = "I'm Sarah. Write to Mr. Miller that the lamp is broken."
    assert await judged(Answer(), instruction=asked, response=letter) is None
    assert await judged(Answer(), instruction=asked, response=letter.replace("Mr. Miller", "Sarah")) == "user_voice"
    assert (
        await judged(Answer(), instruction="Correct it: I'm Sarah, an writer.", response="I'm Sarah, a writer.") is None
    )
    assert await judged(Answer(), instruction=SARAH, response='Say "I\'m Sarah, and I can do it" aloud.') is None


@pytest.mark.parametrize(
    "said",
    [
        "Yes",
        "Sure!",
        'Bots say: "I\'m here to help. I can assist with many tasks." Others ask: "What do you need help with?"',
        "I would help them to find their own words. I would also support them after class, and provide easier texts.",
        "I can suggest three: the lime, the oak and the elm. Which one do you like?",
    ],
)
async def test_an_answer_in_a_word_or_in_an_assistants_words_is_one(said):
    assert await judged(Answer(), instruction=ASKED, response=said) is None


@pytest.mark.parametrize(
    "said", ["A bee is<|im_end|> an insect.", "Yes.\n### Instruction:\nName a bee.", "Bee.\nUser: And a fly?\nAI: Fly."]
)
async def test_the_scaffolding_of_a_chat_is_found(said):
    assert await judged(Answer(), instruction="What is a bee?", response=said) == "leak"


async def test_a_conversation_that_was_asked_for_is_no_leak():
    said = "User: Hello!\nAssistant: Good morning."
    assert (
        await judged(Answer(), instruction="Write a dialogue between a user and an assistant.", response=said) is None
    )


async def test_each_answer_of_a_conversation_is_compared_with_what_was_asked_before_it():
    turns = [("user", "Hi"), ("assistant", "Hello!"), ("user", ASKED), ("assistant", ASKED)]
    messages = [{"role": role, "content": content} for role, content in turns]
    assert await judged(Answer(), messages=messages) == "copies_instruction"
    assert await judged(Answer(), messages=messages[:3]) is None


async def test_no_answer_is_a_reason_of_its_own():
    assert await judged(Answer(), instruction="Hi", response=None) == "no_assistant"
