"""Instructions that no user would have typed, and those that only look like it."""

import pytest

from synth.quality.request import Request
from tests.quality.judged import judged


@pytest.mark.parametrize(
    "text",
    [
        "How can I help you today?",
        "Hello! How can I assist you with your order?",
        "I'm here to help you with any questions.",
        "Sure, here's a poem about autumn.",
        "As an AI language model, I don't have opinions.",
        "I'd be happy to help you plan your trip.",
        "Welcome to our customer service. We value your feedback.",
        "Hi there! I'm an AI assistant designed to help users with their writing.",
        "Hello, I am your virtual assistant.",
        "Is there anything else I can help you with?",
        "Please provide the text that you would like me to summarize.",
        "Thank you for reaching out! What would you like to know?",
        "I understand you're looking for a new laptop. What is your budget?",
        "You're welcome! If you have more questions, let me know.",
        "I can help you with that. What kind of story do you want?",
        "Hi there,\n\nI'm Emma, a blogger.\nI'm here to help you with your travel plans. What's on your mind?",
        "```\nx = [1]\n```\n\nThis implementation uses a list to hold the numbers that users enter.",
        "Here are some tips for better sleep:\n1. Go to bed early.\n2. Avoid coffee.",
        "The shop is closed. You can reach us by email. I'm here to assist you.\n\nPlease choose a delivery option:",
    ],
)
async def test_an_instruction_that_begins_as_an_assistant_does_is_found(text):
    assert await judged(Request(), instruction=text) == "assistant_voice"


@pytest.mark.parametrize(
    "text",
    [
        "How can I help my son with his homework?",
        "How can I help you understand what I need?",
        "I'm happy with my job but want more money. What should I do?",
        "I'm sorry for the late reply. Can you still help me with my taxes?",
        "Of course I know about gravity, but why do planets orbit?",
        "Absolutely nothing works on my laptop, what can I do?",
        "Sure, but how do magnets work?",
        "Of course, I could buy a car. Would leasing be better?",
        "Welcome to the team! Can you write such an email for a new colleague?",
        "You are a helpful assistant. Explain entropy.",
        "Here's a riddle for you: what has keys but no locks?",
        "Welcome to the team! Rewrite this greeting in a formal tone.",
        "Is there anything else I can do to lower my blood pressure?",
        "Can I help my cat lose weight?",
        "I can help with the dishes, but my roommate wants more. How do we split chores?",
        "I'm an AI researcher. What are the open problems?",
        "I'm sorry, I can't find my keys. Where could they be?",
        "Thank you for your help! Now make it shorter.",
        "Great, here is my code. Why does it fail?",
        "Please let me know which is right: 2+2=4 or 2+2=5.",
        "Feel free to be creative: a story about a dragon.",
        "You are a support agent of a shop. You begin with: how can I help you today?",
        'I\'m collecting greetings, like "How can I help you today?". Which others are there?',
        "```\nx = [1]\n```\n\nThis function returns nothing. Why?",
        "Reply to this customer: How can I help you get a refund?",
        "Is this email polite? Dear client, I'm here to help you with any order.",
        "Shorten my message to a guest: I'm here to assist you with your stay, whatever it is that you may need.",
    ],
)
async def test_a_user_may_sound_like_one(text):
    assert await judged(Request(), instruction=text) is None


@pytest.mark.parametrize(
    "text",
    [
        "Summarize the following article.",
        "Can you tell me what this product is?",
        "Proofread this essay for me",
        "Please rewrite the following sentence to be more formal.",
        "What is wrong with this code?",
        "Describe the attached image. Thank you!",
        "Fix the code below.",
        "Analyze the sentiment of this tweet.",
        "Does the argument offer any evidence?",
        "Proofread my cover letter.",
        "Can you please edit my essay to be shorter?",
        "How can I modify the given python code to avoid the 'f-string'?",
        "Can you provide an optimized version of the previous code that uses a `x = 0` in the first loop?",
    ],
)
async def test_work_on_a_text_that_is_not_there_is_found(text):
    assert await judged(Request(), instruction=text) == "missing_material"


@pytest.mark.parametrize(
    "text",
    [
        "Summarize the following article.\n\nThe cat sat on the mat, and then it slept all day.",
        "Proofread this essay: My summer was great and fun.",
        "What does this sentence mean? 'I am who I am.'",
        "Rewrite this sentence in the passive voice - The dog bit the man.",
        'Fix this code:\n\nprint("hi"',
        "What does this code do? print(sum(range(10)))",
        "Write an article about bees. In this article, discuss honey.",
        "Write a function that counts the words in a given sentence.",
        "Provide a Python script that finds the longest word in the given text.",
        "Explain the code of Hammurabi.",
        "What is wrong with the given code: `return [x for x in y if x.z]`",
        "Write a function that reverses the previous sentence.",
        "Summarize the story of Cinderella.",
        "Can you review the contract law of Spain?",
        "How do I proofread my essay?",
        "What is the function of the mitochondria?",
        "Generate a product description for a coffee mug.",
        "What is the argument for free trade?",
        "Compare the poem Daffodils with the poem Tintern Abbey.",
    ],
)
async def test_a_text_that_is_there_or_is_to_be_written_is_not_missed(text):
    assert await judged(Request(), instruction=text) is None


STATED = "The best vitamins are available only at the doctor's clinic."


async def test_an_instruction_that_only_states_something_is_found():
    assert await judged(Request(), instruction=STATED) == "asks_nothing"
    assert await judged(Request(), instruction=f"{STATED} Is that true?") is None
    assert await judged(Request(min_stated=None), instruction=STATED) is None
    assert await judged(Request(min_stated=11), instruction=STATED) is None
    first = [{"role": "user", "content": "Name a vitamin."}, {"role": "assistant", "content": "C."}]
    assert await judged(Request(column="user"), messages=[*first, {"role": "user", "content": STATED}]) is None


async def test_of_a_conversation_the_first_turn_brings_the_material():
    turns = [{"role": "user", "content": "Here is my poem: roses are red."}, {"role": "assistant", "content": "Nice."}]
    later = [*turns, {"role": "user", "content": "Translate this poem."}]
    assert await judged(Request(column="user"), messages=later) is None
    assert await judged(Request(column="user"), messages=later[2:]) == "missing_material"


async def test_no_text_is_a_reason_of_its_own():
    assert await judged(Request(), instruction=" ") == "no_instruction"
